import type { Endpoint } from '#shared/wire/endpoint.ts'

/** Why a negotiation came to nothing: stable codes, for people and for tests. */
export type NegotiationCode =
  | 'no-proposal-chosen'
  | 'invalid-key-exchange'
  | 'selectors-unacceptable'
  | 'certificate-refused'
  | 'clock'
  | 'signature-invalid'
  | 'psk-mismatch'
  | 'identity-mismatch'
  | 'unknown-peer'
  | 'peer-refused-us'
  | 'syntax'
  | 'critical-payload'
  | 'timeout'
  | 'lifetime'
  | 'refused'

/**
 * A failed negotiation as a person needs it: what the peer offered, what we allow, what comes nearest, and the one line to change at
 * either end. Outward answers say none of this.
 */
export interface NegotiationFailure {
  readonly stage: 'init' | 'auth' | 'child' | 'rekey' | 'resume' | 'mobike'
  readonly code: NegotiationCode
  readonly from: Endpoint | undefined
  /** The identity that the peer claims, where it got as far as saying so; not proven. */
  readonly claimedId: string | undefined
  /** Proposals as strongSwan writes them (`aes256gcm16-prfsha256-x25519`), selectors as CIDRs. */
  readonly offered: readonly string[]
  readonly allowed: readonly string[]
  /** The offered and the allowed one that differ least. */
  readonly nearest: { readonly offered: string; readonly allowed: string; readonly differs: string } | undefined
  /** One sentence. */
  readonly message: string
  /** One line to change here, in the broker's or agent's words; and there, in swanctl.conf's words. */
  readonly mendHere: string
  readonly mendThere: string
}
