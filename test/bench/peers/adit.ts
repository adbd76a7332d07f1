import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { type Device, Fleet } from '#test/lab/fleet.ts'
import type { Host } from '#test/lab/namespaces.ts'
import { run } from '#test/lab/program.ts'
import type { Bed } from './bed.ts'
import { mtuOf } from './carries.ts'
import type { Contender, Tunnel } from './contender.ts'

/**
 * Our own programs as they are shipped (`make build`): the broker in b with a TUN, the agent in a with another, enrolled with a claim.
 * AES-256-GCM in the esp suite, ChaCha20-Poly1305 in noise.
 */

export const aditNoise = adit('noise')
export const aditEsp = adit('esp')

/** The TUN interfaces by name, one a namespace. */
export const tun = 'adit0'

/** As large as the others'. Bytes. */
const MTU = 1_420

/** Everything is open between the hosts at both ends. */
export const config = `[tunnel]\nmtu = ${MTU}\nhost-to-agents = "all"\nagents-to-host = "all"\n`

function adit(suite: SuiteName): Contender {
  return {
    name: `adit-${suite}`,
    lacks: lacksBundle,
    start: async (bed, t) => (await aditPair(suite, bed, t)).tunnel,
  }
}

/** The broker in b, one device in a. */
export async function aditPair(suite: SuiteName, { a, b, outerB }: Bed, t: Pick<TestContext, 'after'>): Promise<AditPair> {
  const fleet = await tunFleet(t, b, outerB)
  const device = await fleet.device('pi', { prefix: a.prefix, suite, bundle: true, words: ['--tun', tun] })
  const { inner } = await fleet.admin<{ inner: string[] }>('status')
  const [innerA, innerB] = [ipv4Of(await addressesOf(device)), ipv4Of(inner)]
  await untilGrown(a, innerB)
  const processes = { a: [device.program.pid], hop: [], b: [fleet.broker.pid] }
  return { device, tunnel: { innerA, innerB, deviceA: tun, deviceB: tun, processes } }
}

interface AditPair {
  readonly device: Device
  readonly tunnel: Tunnel
}

/** A sentence unless the bundle is there and knows `--tun`. */
export function lacksBundle(): string | undefined {
  const dist = join(import.meta.dirname, '..', '..', '..', 'dist')
  if (!['adit-broker.js', 'adit-agent.js'].every((file) => existsSync(join(dist, file))))
    return 'there is no bundle in dist/: make build.'
  return undefined
}

/** A broker of the bundle with a TUN in `host`, taking tunnels at `outer`. */
export async function tunFleet(t: Pick<TestContext, 'after'>, host: Host, outer: string): Promise<Fleet> {
  await assertKnowsTun()
  const places = { listen: `${outer}:4500`, api: `${outer}:8443` }
  return Fleet.start(t, { ...places, prefix: host.prefix, config, bundle: true, words: ['--tun', tun] })
}

/** The broker that forgets an option says so only by its help. */
async function assertKnowsTun(): Promise<void> {
  for (const program of ['adit-broker', 'adit-agent'] as const) {
    const { stdout } = await run(program, ['run', '--help'], { bundle: true })
    if (!stdout.includes('--tun')) throw new Error(`${program} of dist/ does not know --tun: make build`)
  }
}

/** The agent begins with 1280 bytes and looks for more as soon as packets of that size are in use: they are, until it has found them (or 20 s). */
async function untilGrown(host: Host, address: string): Promise<void> {
  const [prefix, ...words] = host.prefix
  for (let tries = 0; tries < 100 && mtuOf(host, tun) < MTU; tries++) {
    const payload = mtuOf(host, tun) - 28
    await call(prefix!, [...words, 'ping', '-n', '-c', '1', '-W', '1', '-s', String(payload), address]).catch(() => undefined)
    await wait(200)
  }
}

const call = promisify(execFile)

export const addressesOf = async (device: Device): Promise<readonly string[]> =>
  (await device.status<{ tunnel: { addresses: string[] } }>()).tunnel.addresses

/** As the other contenders have it: the IP header is of the same size then. */
export const ipv4Of = (addresses: readonly string[]): string => addresses.find((address) => address.includes('.'))!
