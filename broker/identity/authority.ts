import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { PeerRole, Role } from '#shared/pki/roles.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'

export interface AuthorityPorts {
  suite: Suite
  clock: Clock
}

export interface AuthorityOptions {
  /** Host names and literal IP addresses that the API certificate is for; `localhost`, 127.0.0.1 and ::1 are always added. */
  apiNames?: readonly string[]
}

export interface IssueRequest {
  role: PeerRole
  name: string
  /** SubjectPublicKeyInfo DER of a P-256 key, taken from a verified request. */
  spki: Uint8Array
  /** 32-byte X25519 key whose possession was proven. */
  tunnelKey?: Uint8Array
  /** Life in days; 30 unless said otherwise. */
  days?: number
}

export interface IssuedCertificate {
  der: Uint8Array
  serialHex: string
  /** SHA-256 of the issuing CA's SPKI, hex: with the serial it names a certificate for revocation. */
  issuerHex: string
  notBefore: WallTime
  notAfter: WallTime
  spkiSha256Hex: string
}

/** What a verified client certificate says. Revocation is the registry's to judge: by `spkiSha256Hex`, and (`issuerHex`, `serialHex`). */
export interface Peer {
  role: PeerRole
  name: string
  spkiSha256Hex: string
  serialHex: string
  issuerHex: string
  notAfter: WallTime
  /** True only where `allowExpiredDays` let an expired certificate pass: it may renew, and nothing else. */
  expired: boolean
  /** 32 bytes. */
  tunnelKey?: Uint8Array
}

/** The fleet's certificate authority, as the rest of the broker sees it (the class of this name implements it). */
export interface AuthorityFace {
  readonly rootDer: Uint8Array
  /** SHA-256 of `rootDer`: 32 bytes. */
  readonly rootFingerprint: Uint8Array
  /** PEM of the API's key and of its chain, leaf first, root last. */
  readonly tls: { key: string; cert: string }
  /** X25519: the broker's WireGuard static key. */
  readonly tunnelKey: KeyPair
  /** X25519: proofs of possession of tunnel keys are made against it. */
  readonly enrolmentKey: KeyPair
  issue(request: IssueRequest): Promise<IssuedCertificate>
  /** The issuing CA of the role, then the root. */
  chainOf(role: Role): Uint8Array[]
  /** `chain`: DER, leaf first, as the peer sent it. Throws AditError `certificate-refused`. */
  verifyPeer(chain: readonly Uint8Array[], now: WallTime, options?: { allowExpiredDays?: number }): Peer
  /** Re-issues the API certificate where its names changed or a third of its life is left; true where `tls` changed. */
  refreshApiCertificate(names: readonly string[]): Promise<boolean>
}

export declare class Authority implements AuthorityFace {
  static openOrCreate(dataDir: string, ports: AuthorityPorts, options?: AuthorityOptions): Promise<Authority>
  readonly rootDer: Uint8Array
  readonly rootFingerprint: Uint8Array
  readonly tls: { key: string; cert: string }
  readonly tunnelKey: KeyPair
  readonly enrolmentKey: KeyPair
  issue(request: IssueRequest): Promise<IssuedCertificate>
  chainOf(role: Role): Uint8Array[]
  verifyPeer(chain: readonly Uint8Array[], now: WallTime, options?: { allowExpiredDays?: number }): Peer
  refreshApiCertificate(names: readonly string[]): Promise<boolean>
}
