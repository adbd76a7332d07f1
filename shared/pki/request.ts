import type { KeyPair, Suite } from '#shared/crypto/suite.ts'

/** What a certification request proved. Names and extensions that it asks for are not even reported. */
export interface VerifiedRequest {
  /** SubjectPublicKeyInfo DER of the P-256 identity key whose possession the self-signature proved. */
  spki: Uint8Array
  /** 32 bytes; present where the private attribute proved possession of it. */
  tunnelKey?: Uint8Array
}

/** PKCS#10 (RFC 2986) DER: signed by the identity key (P-256), carrying the tunnel key and its proof (DESIGN D4). */
export declare function createRequest(
  options: { name: string; identity: KeyPair; tunnel?: { pair: KeyPair; enrolmentKey: Uint8Array } },
  suite: Suite,
): Uint8Array

/** Throws PkiError with the reason. `enrolment`: the CA's X25519 pair. */
export declare function verifyRequest(der: Uint8Array, enrolment: KeyPair, suite: Suite): VerifiedRequest
