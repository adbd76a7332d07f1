import { splitHostPort } from '#agent/core/agent-config.ts'
import { type ClaimRole, decodeClaim } from '#shared/enrolment/claim.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { systemTimers, type Timers } from '#shared/platform/timers.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { type ApprovalPending, untilApproved } from './approval.ts'
import { claimedAddresses, redeem } from './claim-redemption.ts'
import { leafOf } from './est.ts'
import { savePin } from './fleet-keeper.ts'
import { Floors } from './floors.ts'
import { Identity, type IdentityPorts } from './identity.ts'
import type { AgentRecord, Certificates, StateFolder } from './state-folder.ts'

export interface EnrolOptions extends IdentityPorts {
  readonly folder: StateFolder
  /** As it was typed. */
  readonly token: string
  readonly role: ClaimRole
  /** Remembered for the tunnel. */
  readonly speaks?: SuiteName
  /** What the unit says its serial number is, for claims that list numbers. */
  readonly serial?: string | undefined
  readonly timers?: Timers
  /** Ends the waiting for a person. */
  readonly stopped?: AbortSignal
  /** What is being done, for a person who watches. */
  onProgress?(step: string): void
  /** A person is to say yes first. */
  onWaiting?(pending: ApprovalPending): void
}

/**
 * Turns a claim into an identity. The keys are on disk before the request goes out, so that a power cut at any moment is mended by
 * doing the same again: the broker gives the same claim and key the same certificate.
 */
export async function enrol(options: EnrolOptions): Promise<Identity> {
  const { folder, token, role, speaks, onProgress = () => {}, ...ports } = options
  const { suite, proxy } = ports
  const claim = decodeClaim(token, suite)
  if (claim.role !== role) throw wrongRole(claim.role)
  if (await folder.certificates()) throw alreadyEnrolled(folder)
  onProgress('making keys')
  const keys = await folder.makeKeys(suite, ports.pkcs11)
  const floors = await Floors.open(folder.file('floor'), ports.clock, ports.log)
  onProgress(`asking ${claim.api[0]}`)
  const { chain, root } = await approved(options, () => redeem(claim, keys, floors, ports, options.serial))
  const { name } = leafOf(chain)
  const addresses = claimedAddresses(claim)
  if (claim.fleetKey) await savePin(folder, claim.fleetKey)
  await folder.saveRecord({
    api: claim.api,
    name,
    role,
    ...(speaks && { suite: speaks }),
    ...(proxy && { proxy }),
    ...(addresses && { addresses }),
  })
  await folder.saveCertificates({ chain, root })
  await folder.keepClaim(undefined)
  onProgress(`enrolled as ${name}`)
  const identity = (await Identity.load(folder, ports))!
  // A station has no tunnel to be configured.
  if (role === 'station') return identity
  await learnConfig(identity, onProgress)
  return (await Identity.load(folder, ports))!
}

/** Waits for a person where one is to decide. The claim is kept meanwhile, so that a restart goes on; a refusal ends that. */
async function approved(
  { folder, token, timers = systemTimers, stopped, onProgress = () => {}, onWaiting }: EnrolOptions,
  ask: () => Promise<Certificates>,
): Promise<Certificates> {
  try {
    return await untilApproved(ask, {
      timers,
      stopped,
      async onWaiting(pending) {
        await folder.keepClaim(token)
        onProgress(`${pending.message} ${pending.mend}`)
        onWaiting?.(pending)
      },
    })
  } catch (error) {
    const isRefusal = isAditError(error) && refusals.has(error.code)
    if (isRefusal) await folder.keepClaim(undefined)
    throw error
  }
}

/** After these the same claim gives this key nothing any more. */
const refusals = new Set<string>(['enrolment-denied', 'claim-revoked', 'claim-expired', 'claim-used', 'claim-unknown', 'revoked'])

/** The certificate is what counts and is safe; a configuration that cannot be had now is fetched when the agent runs. */
async function learnConfig(identity: Identity, onProgress: (step: string) => void): Promise<void> {
  try {
    const config = await identity.api().config()
    identity.floors.tellTime(config.time)
    await identity.followRoots(config)
    const { record } = identity
    await identity.folder.saveRecord({
      ...record,
      name: config.name,
      config,
      ...tunnelAddresses(record, config.broker.endpoints),
    })
  } catch {
    onProgress('the configuration will be fetched at the first run')
  } finally {
    identity.close()
  }
}

/** The tunnel's hosts begin with what the API's have: mostly they are one machine, and DNS corrects it later. */
function tunnelAddresses({ addresses }: AgentRecord, endpoints: readonly string[]): Pick<AgentRecord, 'addresses'> {
  const known = Object.values(addresses ?? {})[0]
  if (addresses === undefined || known === undefined) return {}
  const hosts = endpoints.map((text) => splitHostPort(text)?.address ?? '').filter((host) => host !== '')
  return { addresses: { ...Object.fromEntries(hosts.map((host) => [host, known])), ...addresses } }
}

const wrongRole = (role: ClaimRole): AditError => {
  const [whose, mend] = ownVerbs[role]
  return new AditError('claim-wrong-role', `This claim is for ${whose}.`, `${mend} --claim TOKEN`)
}

const ownVerbs: Record<ClaimRole, [whose: string, mend: string]> = {
  device: ['a device', 'On the device: adit-agent enrol'],
  operator: ['an operator', 'On your own machine: adit login'],
  station: ['a station', 'On the factory line: adit station init'],
}

const alreadyEnrolled = (folder: StateFolder): AditError =>
  new AditError(
    'already-enrolled',
    `${folder.path} is enrolled already.`,
    'Choose another state folder, or empty this one first.',
  )
