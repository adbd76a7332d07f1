import type { TLSSocket } from 'node:tls'
import type { AuthorityFace, Peer } from '#broker/identity/authority.ts'
import { RENEWAL_GRACE_DAYS } from '#broker/registry/principal.ts'
import type { AditError } from '#shared/errors.ts'
import { toAditError } from '#shared/errors.ts'
import type { Clock } from '#shared/time/instant.ts'

/** Certificates read of a client's chain at most: leaf, issuing CA, root, and a spare one. */
const longestChain = 4

type Verdict = { peer: Peer } | { refusal: AditError } | 'none'

/**
 * The verified certificate of each TLS connection. TLS itself accepts any client certificate whose key the client has; whether it is
 * one of ours is judged here, by our own chain check, once a connection. What can change while the connection lives, expiry and
 * revocation, is judged again at each request (`admission.ts`).
 */
export class PeerCertificates {
  readonly #authority: Pick<AuthorityFace, 'verifyPeer'>
  readonly #clock: Clock
  readonly #verdicts = new WeakMap<TLSSocket, Verdict>()

  constructor(authority: Pick<AuthorityFace, 'verifyPeer'>, clock: Clock) {
    this.#authority = authority
    this.#clock = clock
  }

  of(socket: TLSSocket): Verdict {
    let verdict = this.#verdicts.get(socket)
    if (verdict === undefined) {
      verdict = this.#judge(socket)
      this.#verdicts.set(socket, verdict)
    }
    return verdict
  }

  #judge(socket: TLSSocket): Verdict {
    const chain = chainOf(socket)
    if (chain.length === 0) return 'none'
    try {
      return { peer: this.#authority.verifyPeer(chain, this.#clock.wall(), { allowExpiredDays: RENEWAL_GRACE_DAYS }) }
    } catch (error) {
      return { refusal: toAditError(error) }
    }
  }
}

/** The client's chain as DER, leaf first, without what follows a self-signed certificate. */
function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate = socket.getPeerX509Certificate?.()
  while (certificate !== undefined && chain.length < longestChain) {
    chain.push(certificate.raw)
    certificate = certificate.issuerCertificate
  }
  return chain
}
