import type { Caller } from '#broker/api/caller.ts'
import type { ChannelBinding } from '#broker/enrolment/channel-binding.ts'
import { type EnrolmentRules, standardRules } from '#broker/enrolment/enrolment-rules.ts'
import { LastWord } from '#broker/enrolment/last-word.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { EnrolmentRequest } from '#broker/registry/enrolments.ts'
import type { HeldCertificate } from '#broker/registry/first-certificate.ts'
import type { Lane } from '#broker/registry/lane-rows.ts'
import type { Principal, PrincipalKind } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { assertRole, type Bid, type Offer, type Right, type Wish } from '#broker/registry/right.ts'
import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type VerifiedRequest, verifyRequest } from '#shared/pki/request.ts'
import type { Clock } from '#shared/time/instant.ts'

export interface EnrolmentParts {
  registry: Pick<Registry, 'rights' | 'enrolments' | 'certificates' | 'audit' | 'lane' | 'clones'>
  authority: Pick<AuthorityFace, 'issue' | 'enrolmentKey'>
  suite: Suite
  clock: Clock
  /** Whose word decides beside the right's; left out: nobody's. */
  lastWord?: LastWord | undefined
  rules?: EnrolmentRules | undefined
}

/** Who asks, besides what its request shows. */
export interface Asker {
  /** Without port. */
  readonly address: string
  /** Where one role alone is enrolled (EST's label). */
  readonly role?: PrincipalKind | undefined
  /** What binds a challenge to the connection that the request came by; left out: no challenge fits. */
  readonly binding?: ChannelBinding | undefined
}

/** A certificate's DER, or a request that waits for a person. */
export type Outcome = { readonly certificate: Uint8Array } | { readonly waiting: EnrolmentRequest; readonly retryAfter: number }

/**
 * Turns a right into a certificate. From a request come the public key and the proven tunnel key and nothing else; the name comes from
 * the right, from the hook or a person, or from the certificate that renews (A-37, A-43).
 *
 *   right + request -> verify request -> used before? -> ask the hook -> ask a person -> burn the right, make the principal, issue and
 *   record (one transaction) -> certificate
 *
 * A power cut anywhere costs nothing: the same right with the same key finds its principal again, and the certificate that was
 * recorded for it; where none was, a new one is issued (A-46).
 */
export class Enrolment {
  readonly #parts: EnrolmentParts
  readonly #rules: EnrolmentRules
  readonly #lastWord: LastWord
  /** Enrolments under way, by right and key: a client's two attempts at once must find one certificate, not make two. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(parts: EnrolmentParts) {
    this.#parts = parts
    this.#rules = parts.rules ?? standardRules
    this.#lastWord = parts.lastWord ?? new LastWord(parts)
  }

  /** Throws AditError of the right's fault, `request-refused`, `enrolment-denied`, `hook-failed` or `rate-limited`. */
  async enrol(right: Right, request: Uint8Array, asker: Asker): Promise<Outcome> {
    const verified = this.#verify(request, asker.binding)
    const spkiSha256 = hex(this.#parts.suite.hash('sha256', verified.spki))
    return this.#inTurn(`${right.id} ${spkiSha256}`, async () => {
      const back = await this.#comeBack(right, verified, spkiSha256)
      if (back !== undefined) return { certificate: back }
      const asked = await this.#parts.registry.enrolments.find(right.id, spkiSha256)
      const isPending = asked?.state === 'waiting' || asked?.state === 'approved'
      const bid: Bid = {
        spkiSha256,
        ...(verified.tunnelKey && { tunnelKey: hex(verified.tunnelKey) }),
        ...(verified.statedSerial !== undefined && { statedSerial: verified.statedSerial }),
        // Whoever waits for a person does not lose its right by waiting.
        shownAt: isPending ? asked.askedAt : this.#parts.clock.wall(),
      }
      const admitted = await this.#admit(right, bid, { asked, asker, verified })
      if ('waiting' in admitted) return admitted
      const { principal, certificate } = admitted
      return { certificate: certificate ?? (await this.#issue(principal, verified, right.id)) }
    })
  }

  async #admit(
    right: Right,
    bid: Bid,
    { asked, asker, verified }: { asked: EnrolmentRequest | undefined; asker: Asker; verified: VerifiedRequest },
  ): Promise<{ principal: Principal; certificate: Uint8Array | undefined } | { waiting: EnrolmentRequest; retryAfter: number }> {
    const { registry } = this.#parts
    const found = await registry.rights.look(right, bid)
    assertRole('offer' in found ? found.offer.role : found.principal.kind, asker.role)
    if (!('offer' in found)) return found
    if (asked?.state === 'denied') throw denied(asked)
    const wish = asked?.wish ?? (await this.#askHook(right, bid, found.offer, asker))
    if (found.offer.approval && asked?.state !== 'approved') {
      const { role, name, serial = bid.statedSerial, tags, left } = found.offer
      const about = { rightId: right.id, spkiSha256: bid.spkiSha256, role, name, serial, tags, source: asker.address, wish }
      const waiting = await registry.enrolments.queue(about, { left, limit: this.#rules.queue })
      return { waiting, retryAfter: this.#rules.retryAfter }
    }
    return registry.rights.redeem(right, bid, wish, (principal) => this.#certify(principal, verified))
  }

  /** Undefined where there is no hook. */
  #askHook(right: Right, bid: Bid, offer: Offer, { address }: Asker): Promise<Wish | undefined> {
    const { role, name = null, serial = bid.statedSerial ?? null, tags } = offer
    return this.#lastWord.on({ role, name, serial, key: bid.spkiSha256, right: right.id, address, tags })
  }

  /**
   * A new certificate of the same subject, for the holder of the present one. A living certificate may change its keys, an expired one
   * may only renew with the key that it has (DESIGN D4). A tunnel key that was proven before stays bound unless a new one is proven.
   */
  async renew({ principal, peer, lane }: Caller, request: Uint8Array, binding?: ChannelBinding): Promise<Uint8Array> {
    const { suite, clock } = this.#parts
    const verified = this.#verify(request, binding)
    const expired = peer.expired || clock.wall() > peer.notAfter
    if (expired && hex(suite.hash('sha256', verified.spki)) !== peer.spkiSha256Hex)
      throw refused('an expired certificate renews with its own key alone')
    const isOther = verified.tunnelKey !== undefined && hex(verified.tunnelKey) !== principal.tunnelKey
    // A station has none, whatever its request shows.
    if (expired && isOther && principal.kind !== 'station') throw refused('an expired certificate keeps its tunnel key')
    const bound = principal.tunnelKey === undefined ? undefined : new Uint8Array(Buffer.from(principal.tunnelKey, 'hex'))
    const tunnelKey = verified.tunnelKey ?? bound
    const renewed = { spki: verified.spki, ...(tunnelKey && { tunnelKey }) }
    if (lane !== 'shelf') return this.#issue(principal, renewed)
    const { issuerHex, serialHex } = peer
    return this.#issueOnce(principal, renewed, lane, { principalId: principal.id, issuerHex, serialHex })
  }

  /**
   * A board that has proven its IDevID, whose device sleeps beyond every lane, or may: the key of its newest certificate is renewed as if that
   * had not ended. Undefined where it is no such board, and the right itself says what becomes of it.
   */
  async #comeBack(right: Right, { spki, tunnelKey }: VerifiedRequest, spkiSha256: string): Promise<Uint8Array | undefined> {
    const { rights, lane, clones } = this.#parts.registry
    const holder = await rights.holderOf(right)
    if (holder === undefined || holder.revokedAt !== undefined) return undefined
    if (tunnelKey === undefined || hex(tunnelKey) !== holder.tunnelKey) return undefined
    // Who of several has this key is the ratchet's to say.
    if (clones.isRestricted(holder.id, spkiSha256)) return undefined
    const back = await lane.boardReturn(holder, spkiSha256)
    if (back === undefined) return undefined
    if ('again' in back) return back.again
    lane.entered(holder, back.expiredAt, 'board')
    return this.#issueOnce(holder, { spki, tunnelKey }, 'board', back.from)
  }

  /** In a lane that closes behind whoever shows what it gave: until then the same may be asked for again, since an answer can be lost. */
  async #issueOnce(principal: Principal, keys: VerifiedRequest, name: Lane, from: HeldCertificate): Promise<Uint8Array> {
    const { certificates, lane } = this.#parts.registry
    const issued = { ...(await this.#certify(principal, keys)), principalId: principal.id }
    const der = await certificates.record({ ...issued, lane: { name, from } })
    lane.gave(issued)
    return der
  }

  /** A challenge says by which connection its maker sent it; one that came by another is somebody else's (RFC 7030 §3.5). */
  #verify(request: Uint8Array, binding: ChannelBinding | undefined): VerifiedRequest {
    const verified = this.#verified(request)
    if (verified.challenge !== undefined && !(binding ?? none)().some((value) => fits(value, verified.challenge as string)))
      throw refused('its challenge password is not that of this connection (RFC 7030 §3.5)', 'Leave the challenge password out.')
    return verified
  }

  #verified(request: Uint8Array): VerifiedRequest {
    try {
      return verifyRequest(request, this.#parts.authority.enrolmentKey, this.#parts.suite)
    } catch (error) {
      if (error instanceof PkiError) throw refused(error.message)
      throw error
    }
  }

  async #issue(principal: Principal, verified: VerifiedRequest, right?: string): Promise<Uint8Array> {
    const issued = await this.#certify(principal, verified)
    return this.#parts.registry.certificates.record({
      ...issued,
      principalId: principal.id,
      ...(right !== undefined && { right }),
    })
  }

  async #certify({ kind, name }: Pick<Principal, 'kind' | 'name'>, { spki, tunnelKey: proven }: VerifiedRequest) {
    // A station has no tunnel: a key of it is nobody's.
    const tunnelKey = kind === 'station' ? undefined : proven
    const issued = await this.#parts.authority.issue({ role: kind, name, spki, ...(tunnelKey && { tunnelKey }) })
    return { ...issued, ...(tunnelKey && { tunnelKey: hex(tunnelKey) }) }
  }

  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(key) ?? Promise.resolve()
    const turn = before.then(work, work)
    this.#turns.set(key, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(key) === turn) this.#turns.delete(key)
    }
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const none: ChannelBinding = () => []

const fits = (value: string, challenge: string): boolean =>
  equalConstantTime(Buffer.from(value, 'latin1'), Buffer.from(challenge, 'latin1'))

const refused = (why: string, mend = 'Make a new request with a P-256 key, signed by that key.'): AditError =>
  new AditError('request-refused', `The certification request is refused: ${why}.`, mend)

const denied = ({ id, reason }: EnrolmentRequest): AditError =>
  new AditError(
    'enrolment-denied',
    `A person has denied request ${id}${reason ? `: ${reason.replace(/\.$/, '')}` : ''}.`,
    'Ask whoever runs the broker, and enrol with another claim.',
  )
