import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { type ProofHeaders, proofIn, provenChain } from '#broker/api/proven-chain.ts'
import type { AuthorityFace, Peer } from '#broker/identity/authority.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { AditError } from '#shared/errors.ts'
import { toAditError } from '#shared/errors.ts'
import type { Clock } from '#shared/time/instant.ts'

/** How old an expired certificate may be is `admission.ts`'s to say: a person may readmit one of any age. */
const anyAgeDays = 36_525

type Verdict = { peer: Peer; certificate: Uint8Array } | { refusal: AditError } | 'none'

interface Judged {
  readonly by: ProofHeaders | undefined
  readonly verdict: Verdict
}

/**
 * The verified certificate of each TLS connection. TLS itself accepts any client certificate whose key the client has; whether it is
 * one of ours is judged here, by our own chain check, once a connection. What can change while the connection lives, expiry and
 * revocation, is judged again at each request (`admission.ts`).
 *
 * A client whose key is in hardware shows its certificate in headers (`proven-chain.ts`); what follows is the same judgement.
 */
export class PeerCertificates {
  readonly #authority: Pick<AuthorityFace, 'verifyPeer'>
  readonly #clock: Clock
  readonly #suite: Pick<Suite, 'hash' | 'ecdsaP256'>
  readonly #judged = new WeakMap<TLSSocket, Judged>()

  constructor(authority: Pick<AuthorityFace, 'verifyPeer'>, clock: Clock, suite: Pick<Suite, 'hash' | 'ecdsaP256'>) {
    this.#authority = authority
    this.#clock = clock
    this.#suite = suite
  }

  of(request: IncomingMessage): Verdict {
    const socket = request.socket as TLSSocket
    const by = proofIn(request)
    const before = this.#judged.get(socket)
    if (before !== undefined && before.by?.chain === by?.chain && before.by?.proof === by?.proof) return before.verdict
    const verdict = this.#judge(socket, by)
    this.#judged.set(socket, { by, verdict })
    return verdict
  }

  #judge(socket: TLSSocket, by: ProofHeaders | undefined): Verdict {
    try {
      const chain = provenChain(socket, by, this.#suite)
      if (chain.length === 0) return 'none'
      const peer = this.#authority.verifyPeer(chain, this.#clock.wall(), { allowExpiredDays: anyAgeDays })
      return { peer, certificate: chain[0]! }
    } catch (error) {
      return { refusal: toAditError(error) }
    }
  }
}
