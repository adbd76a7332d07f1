import type { Caller } from '#broker/api/caller.ts'
import type { ClaimCredentials } from '#broker/enrolment/basic-credentials.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type VerifiedRequest, verifyRequest } from '#shared/pki/request.ts'
import type { Clock } from '#shared/time/instant.ts'

interface EnrolmentParts {
  registry: Pick<Registry, 'claims' | 'certificates'>
  authority: Pick<AuthorityFace, 'issue' | 'enrolmentKey'>
  suite: Suite
  clock: Clock
}

/**
 * Turns a right into a certificate. From a request come the public key and the proven tunnel key and nothing else; the name comes from
 * the claim, or from the certificate that renews.
 *
 *   claim + request -> verify request -> burn the claim, make the principal (one transaction) -> issue -> record -> certificate
 *
 * A power cut anywhere costs nothing: the same claim with the same key finds its principal again, and the certificate that was
 * recorded for it; where none was, a new one is issued.
 */
export class Enrolment {
  readonly #parts: EnrolmentParts
  /** Enrolments under way, by claim id: a client's two attempts at once must find one certificate, not make two. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(parts: EnrolmentParts) {
    this.#parts = parts
  }

  /** The certificate's DER. Throws AditError of the claim's fault, or `request-refused`. */
  async enrol(claim: ClaimCredentials, request: Uint8Array): Promise<Uint8Array> {
    const { suite, registry } = this.#parts
    const verified = this.#verify(request)
    return this.#inTurn(claim.id, async () => {
      const { principal, certificate } = await registry.claims.redeem({
        id: claim.id,
        secret: claim.secret,
        spkiSha256: hex(suite.hash('sha256', verified.spki)),
        ...(verified.tunnelKey && { tunnelKey: hex(verified.tunnelKey) }),
      })
      return certificate ?? this.#issue(principal, verified, claim.id)
    })
  }

  /**
   * A new certificate of the same subject, for the holder of the present one. A living certificate may change its keys, an expired one
   * may only renew with the key that it has (DESIGN D4). A tunnel key that was proven before stays bound unless a new one is proven.
   */
  async renew({ principal, peer }: Caller, request: Uint8Array): Promise<Uint8Array> {
    const { suite, clock } = this.#parts
    const verified = this.#verify(request)
    const expired = peer.expired || clock.wall() > peer.notAfter
    if (expired && hex(suite.hash('sha256', verified.spki)) !== peer.spkiSha256Hex)
      throw refused('an expired certificate renews with its own key alone')
    if (expired && verified.tunnelKey !== undefined && hex(verified.tunnelKey) !== principal.tunnelKey)
      throw refused('an expired certificate keeps its tunnel key')
    const bound = principal.tunnelKey === undefined ? undefined : new Uint8Array(Buffer.from(principal.tunnelKey, 'hex'))
    const tunnelKey = verified.tunnelKey ?? bound
    return this.#issue(principal, { spki: verified.spki, ...(tunnelKey && { tunnelKey }) })
  }

  #verify(request: Uint8Array): VerifiedRequest {
    try {
      return verifyRequest(request, this.#parts.authority.enrolmentKey, this.#parts.suite)
    } catch (error) {
      if (error instanceof PkiError) throw refused(error.message)
      throw error
    }
  }

  async #issue(principal: Principal, { spki, tunnelKey }: VerifiedRequest, claimId?: string): Promise<Uint8Array> {
    const { authority, registry } = this.#parts
    if (principal.kind === 'station') throw refused('stations do not enrol here')
    const issued = await authority.issue({ role: principal.kind, name: principal.name, spki, ...(tunnelKey && { tunnelKey }) })
    return registry.certificates.record({
      ...issued,
      principalId: principal.id,
      ...(tunnelKey && { tunnelKey: hex(tunnelKey) }),
      ...(claimId !== undefined && { claimId }),
    })
  }

  async #inTurn<T>(claimId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(claimId) ?? Promise.resolve()
    const turn = before.then(work, work)
    this.#turns.set(claimId, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(claimId) === turn) this.#turns.delete(claimId)
    }
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const refused = (why: string): AditError =>
  new AditError(
    'request-refused',
    `The certification request is refused: ${why}.`,
    'Make a new request with a P-256 key, signed by that key.',
  )
