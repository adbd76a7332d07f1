import { userInfo } from 'node:os'
import { join } from 'node:path'
import { parseRestored, restoredName } from '#broker/backup/incarnation.ts'
import type { Config } from '#broker/config.ts'
import { Authority, type AuthorityOptions } from '#broker/identity/authority.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { makePrivateDirectory, readIfPresent, removeDurably } from '#shared/platform/files.ts'
import { type FolderLock, lockFolder } from '#shared/platform/lock.ts'
import type { Log } from '#shared/platform/log.ts'
import { version } from '#shared/platform/version.ts'
import { machineAddresses, machineNetworks } from './io/machine-addresses.ts'
import type { LiveTunnel, Office } from './office.ts'
import { perform } from './operations.ts'
import { apiHosts, ikeHosts, type Listening, reachOf } from './reach.ts'

/** What an office asks of the broker that runs. */
export interface LiveBroker {
  readonly listening: Listening
  status(): Record<string, unknown>
  tunnel(principal: Principal): LiveTunnel
}

/** What is open while this process holds the data folder. */
export interface OpenFolder {
  readonly registry: Registry
  readonly authority: Authority
  /** An office at this desk; `live` is the running broker's own. */
  office(config: Config, live?: LiveBroker): Office
  close(): Promise<void>
}

const listeningKey = 'broker.listening'

/** Takes the data folder for this process: lock, keys, registry. Throws AditError `state-locked`, storage errors. */
export async function openFolder(dataDir: string, config: Config, log: Log, options: { serve: boolean }): Promise<OpenFolder> {
  await makePrivateDirectory(dataDir)
  const lock = await lockFolder(dataDir, options.serve ? 'adit-broker run' : 'adit-broker')
  let registry: Registry | undefined
  try {
    const ports = { suite: nativeSuite, clock: systemClock }
    const authority = await Authority.openOrCreate(dataDir, ports, {
      ikeId: config.ipsec.id,
      pkiUrl: config.pki.url,
      ...namesOf(config, options.serve),
    })
    registry = await Registry.open(dataDir, { ...ports, log }, { underlay: [...machineNetworks(), ...config.avoidNetworks] })
    await beginRestoredLife(dataDir, registry)
    return folder(dataDir, registry, authority, lock)
  } catch (error) {
    await registry?.close()
    await lock.release()
    throw error
  }
}

/** The first program that opens a restored folder makes another broker of it than the one that was copied. */
async function beginRestoredLife(dataDir: string, registry: Registry): Promise<void> {
  const path = join(dataDir, restoredName)
  const bytes = await readIfPresent(path)
  if (bytes === undefined) return
  const note = parseRestored(bytes)
  if (note === undefined)
    throw new AditError('storage-failed', `${path} is damaged.`, 'Restore the folder from its backup again.')
  await registry.incarnation.begin(note, registry.claims)
  await removeDurably(path)
}

/** Only who serves may renew the broker's certificates for new names: a command beside a config of its own must not. */
function namesOf(config: Config, serve: boolean): AuthorityOptions {
  if (!serve) return {}
  const addresses = machineAddresses()
  return { apiNames: apiHosts(config, addresses), ikeNames: ikeHosts(config, addresses) }
}

/** Does what an administrator asks here, with the folder taken for as long as it takes. */
export async function performHere(dataDir: string, config: Config, log: Log, verb: string, args: unknown): Promise<unknown> {
  const open = await openFolder(dataDir, config, log, { serve: false })
  try {
    return await perform(open.office(config), verb, args)
  } finally {
    await open.close()
  }
}

/** A container's user may have no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.geteuid?.() ?? 'unknown')
  }
}

/** Keeps where the broker listens, so that claims can be made for it while it does not run. */
export const rememberListening = (registry: Registry, listening: Listening): Promise<void> =>
  registry.settings.set(listeningKey, JSON.stringify(listening))

function folder(dataDir: string, registry: Registry, authority: Authority, lock: FolderLock): OpenFolder {
  return {
    registry,
    authority,
    office: (config, live) => ({
      dataDir,
      registry,
      authority,
      config,
      version,
      suite: nativeSuite,
      clock: systemClock,
      actor: `admin:${userName()}`,
      async reach() {
        const kept = live ? undefined : await registry.settings.get(listeningKey)
        const listening = live?.listening ?? (kept === undefined ? undefined : (JSON.parse(kept) as Listening))
        // Inside the tunnels nobody finds a tunnel.
        const outer = machineAddresses().filter((address) => !registry.fleet.broker.includes(address))
        return reachOf(config, listening, outer)
      },
      liveStatus: () => live?.status(),
      liveTunnel: (principal) => live?.tunnel(principal),
    }),
    async close() {
      await registry.close()
      await lock.release()
    },
  }
}
