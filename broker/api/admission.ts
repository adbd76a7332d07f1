import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Access, Caller } from '#broker/api/caller.ts'
import { judgeLane, type LaneDays, type LateCaller } from '#broker/api/lane-judgement.ts'
import type { PeerCertificates } from '#broker/api/peer-certificates.ts'
import type { Peer } from '#broker/identity/authority.ts'
import type { Lane } from '#broker/registry/lane-rows.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { FirstContact } from '#broker/stations/first-contact.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Clock } from '#shared/time/instant.ts'

interface AdmissionParts {
  certificates: PeerCertificates
  registry: Pick<Registry, 'directory' | 'certificates' | 'audit' | 'clones' | 'lane' | 'stations'>
  settings: LaneDays
  firstContact: Pick<FirstContact, 'take'>
  clock: Clock
  log: Log
}

type Reporting = AdmissionParts & { reported: WeakSet<object> }

/** A refusal has one outward sentence, whatever the reason; the exact one goes to the log. */
class Refusal extends AditError {
  readonly inward: string
  constructor(inward: string, options?: { cause?: unknown }) {
    super('certificate-refused', 'The broker does not accept this certificate.', 'Enrol again with a new claim.', options)
    this.inward = inward
  }
}

/** Decides before anything else of a request is read who asks, and whether its route is open to them at all. */
export function guardRoutes(app: FastifyInstance, given: AdmissionParts): void {
  app.decorateRequest('caller', undefined)
  const parts = { ...given, reported: new WeakSet<object>() }
  app.addHook('onRequest', async (request) => {
    const { access } = request.routeOptions.config
    if (access === 'public' || request.is404) return
    if (access === 'scraper' && isLoopback(request.raw.socket.remoteAddress)) return
    try {
      await adoptUnit(request, parts)
      request.caller = await admit(request, access, parts)
    } catch (error) {
      if (error instanceof Refusal) report(error, request, parts)
      throw error
    }
  })
}

async function admit(request: FastifyRequest, access: Access | undefined, parts: AdmissionParts): Promise<Caller> {
  const { certificates, registry, clock } = parts
  if (access === undefined) throw new Refusal('the route names no access')
  const verdict = certificates.of(request.raw)
  if (verdict === 'none') throw noCertificate()
  if ('refusal' in verdict) throw new Refusal(reasonOf(verdict.refusal), { cause: verdict.refusal })
  const { peer, certificate } = verdict
  const now = clock.wall()
  const isExpired = peer.expired || now > peer.notAfter
  if (isExpired && !mayBeExpired.has(access)) throw new Refusal('expired; it may only renew')
  const principal = registry.directory.bySpki(peer.spkiSha256Hex)
  if (principal === undefined) throw new Refusal('no principal has this key')
  if (principal.kind !== peer.role || principal.name !== peer.name) throw new Refusal(otherName(peer, principal))
  if (access === 'orders') {
    // Nothing but its own end is said on these routes: also a stolen device shall hear of it.
    if (principal.kind === 'device') return { principal, peer, certificate }
    throw new Refusal(`a ${principal.kind} is given no orders`)
  }
  if (principal.revokedAt !== undefined) throw new Refusal(`${principal.kind} ${principal.name} is revoked`)
  const isTicketed = judgeKey(request, access, peer, principal.id, parts)
  const lane = isExpired
    ? await laneOf({ principal, peer, now, isJudgedByRatchet: isTicketed || access === 'ratchet' }, parts)
    : undefined
  if (lane !== undefined && access === 'renewal') registry.lane.entered(principal, peer.notAfter, lane)
  if (!mayBeExpired.has(access) && !registry.directory.isAdmitted(principal, now))
    throw new Refusal(`the enrolment of ${principal.kind} ${principal.name} is over`)
  if (access === 'operator' && principal.kind !== 'operator')
    throw new Refusal(`a ${principal.kind} asked for an operator's route`)
  if (access === 'ratchet' && principal.kind !== 'device') throw new Refusal(`a ${principal.kind} has no ratchet`)
  if (access === 'scraper' && !principal.admin) throw new Refusal('metrics are for administrators')
  if (access === 'station' && principal.kind !== 'station') throw new Refusal(`a ${principal.kind} asked for a station's route`)
  if (access !== 'station' && access !== 'renewal' && principal.kind === 'station')
    throw new Refusal('a station has no business here')
  if (!isExpired) await registry.lane.shown(peer)
  return { principal, peer, certificate, ...(lane && { lane }) }
}

/** A unit of a factory line may call before its station has told of it: its certificate then speaks for itself (DESIGN D4). */
async function adoptUnit(request: FastifyRequest, { certificates, registry, firstContact }: AdmissionParts): Promise<void> {
  const verdict = certificates.of(request.raw)
  if (verdict === 'none' || 'refusal' in verdict) return
  const { peer, certificate } = verdict
  if (registry.stations.byIssuer(peer.issuerHex) === undefined || registry.directory.bySpki(peer.spkiSha256Hex) !== undefined)
    return
  await firstContact.take(parseCertificate(certificate), peer.issuerHex, request.ip)
}

const mayBeExpired: ReadonlySet<Access> = new Set(['renewal', 'ratchet', 'orders'])

/** A key that a copy has too opens the ratchet, and renewal to whom the ratchet has given a ticket: true where it is shown. */
function judgeKey(
  { headers }: FastifyRequest,
  access: Access,
  peer: Peer,
  principalId: number,
  { registry: { clones, certificates } }: AdmissionParts,
): boolean {
  if (clones.isRestricted(principalId, peer.spkiSha256Hex)) {
    const ticket = headers['adit-ratchet']
    if (access === 'ratchet') return false
    if (access === 'renewal' && clones.isTicket(principalId, peer.spkiSha256Hex, String(ticket))) return true
    throw new Refusal('a copy of this device has the same key')
  }
  if (certificates.isRevoked(peer)) throw new Refusal('the certificate is revoked')
  return false
}

/** The lane of expired certificates has an end, which a person may put off for one of them. */
async function laneOf(caller: LateCaller, { registry: { lane }, settings }: AdmissionParts): Promise<Lane> {
  const judged = await judgeLane(caller, lane, settings)
  if ('refusal' in judged) throw new Refusal(judged.refusal)
  return judged.lane
}

/** The exact reason, for the log at each request and for the audit once a connection: a refused agent asks again and again. */
function report({ inward }: Refusal, request: FastifyRequest, { certificates, registry, log, reported }: Reporting): void {
  const socket = request.raw.socket as TLSSocket
  const verdict = certificates.of(request.raw)
  const who = verdict !== 'none' && 'peer' in verdict ? `${verdict.peer.role}:${verdict.peer.name}` : 'stranger'
  log.info({ reason: inward, who, from: request.ip }, 'certificate refused')
  if (reported.has(socket)) return
  reported.add(socket)
  const detail = { reason: inward, from: request.ip, route: request.routeOptions.url }
  void registry.audit.append({ actor: who, action: 'api.refused', subject: 'broker', detail }).catch(() => {})
}

const isLoopback = (address: string | undefined): boolean => /^(?:::1|(?:::ffff:)?127\.\d+\.\d+\.\d+)$/.test(address ?? '')

/** What the chain check found: its error is as silent as ours, and carries the reason as its cause. */
const reasonOf = ({ cause, message }: AditError): string => (cause instanceof Error ? cause.message : message)

const otherName = (peer: Peer, principal: { kind: string; name: string }): string =>
  `the certificate says ${peer.role} ${peer.name}, the registry ${principal.kind} ${principal.name}`

const noCertificate = (): AditError =>
  new AditError(
    'certificate-refused',
    'This needs a client certificate of the fleet.',
    'Enrol first: adit login, or adit-agent enrol.',
  )

/** The caller of a route that is not public: `guardRoutes` has put it there. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === undefined) throw new Error('a route that reads its caller must not be public')
  return request.caller
}
