/**
 * The payloads of IKEv2 as values. Byte fields of a decoded payload are views into the message, borrowed for as long as it is; numbers
 * are those of `shared/wire/ike-numbers.ts`.
 */
export type IkePayload =
  | SaPayload
  | KePayload
  | NoncePayload
  | NotifyPayload
  | DeletePayload
  | VendorIdPayload
  | IdPayload
  | CertPayload
  | CertReqPayload
  | AuthPayload
  | TsPayload
  | CpPayload
  | SkPayload
  | SkfPayload
  | EapPayload
  | UnknownPayload

/** RFC 7296 §3.3. */
export interface SaPayload {
  readonly kind: 'sa'
  readonly proposals: readonly Proposal[]
}

export interface Proposal {
  readonly number: number
  /** ProtocolId. */
  readonly protocol: number
  /** 0, 4 (ESP) or 8 (IKE, in a rekey) bytes. */
  readonly spi: Uint8Array
  readonly transforms: readonly Transform[]
}

export interface Transform {
  /** TransformType. */
  readonly type: number
  readonly id: number
  /** Bits, where the attribute is given. */
  readonly keyLength?: number
  /** It has an attribute that is not known: the transform must not be chosen (RFC 7296 §3.3.6). */
  readonly unknownAttribute?: boolean
}

/** RFC 7296 §3.4. */
export interface KePayload {
  readonly kind: 'ke'
  /** KeyExchangeMethod. */
  readonly group: number
  readonly data: Uint8Array
}

/** RFC 7296 §3.9: 16 to 256 bytes. */
export interface NoncePayload {
  readonly kind: 'nonce'
  readonly nonce: Uint8Array
}

/** RFC 7296 §3.10. */
export interface NotifyPayload {
  readonly kind: 'notify'
  readonly protocol: number
  readonly spi: Uint8Array
  /** NotifyType. */
  readonly type: number
  readonly data: Uint8Array
}

/** RFC 7296 §3.11. */
export interface DeletePayload {
  readonly kind: 'delete'
  readonly protocol: number
  /** None for the IKE SA itself; 4 bytes each for ESP. */
  readonly spis: readonly Uint8Array[]
}

export interface VendorIdPayload {
  readonly kind: 'vendor-id'
  readonly id: Uint8Array
}

/** An identity as it stands on the wire (RFC 7296 §3.5). */
export interface IkeId {
  /** IdType. */
  readonly type: number
  readonly data: Uint8Array
}

export interface IdPayload extends IkeId {
  readonly kind: 'id-i' | 'id-r'
}

/** RFC 7296 §3.6. */
export interface CertPayload {
  readonly kind: 'cert'
  readonly encoding: number
  readonly data: Uint8Array
}

/** RFC 7296 §3.7: for X.509 a concatenation of 20-byte SHA-1 hashes of the SPKI of trusted CAs. */
export interface CertReqPayload {
  readonly kind: 'cert-req'
  readonly encoding: number
  readonly data: Uint8Array
}

/** RFC 7296 §3.8. */
export interface AuthPayload {
  readonly kind: 'auth'
  /** AuthMethod. */
  readonly method: number
  readonly data: Uint8Array
}

/** RFC 7296 §3.13.1. Addresses 4 or 16 bytes, both ends inclusive; protocol 0 is any; ports 0..65535, of any when 0..65535. */
export interface TrafficSelector {
  readonly protocol: number
  readonly startPort: number
  readonly endPort: number
  readonly start: Uint8Array
  readonly end: Uint8Array
}

export interface TsPayload {
  readonly kind: 'ts-i' | 'ts-r'
  readonly selectors: readonly TrafficSelector[]
}

/** RFC 7296 §3.15. */
export interface CpPayload {
  readonly kind: 'cp'
  /** CpType. */
  readonly type: number
  readonly attributes: readonly { readonly type: number; readonly value: Uint8Array }[]
}

/** RFC 7296 §3.14: always last. `body`: IV, ciphertext, ICV. */
export interface SkPayload {
  readonly kind: 'sk'
  /** PayloadType of the first payload inside. */
  readonly first: number
  readonly body: Uint8Array
}

/** RFC 7383 §2.5. */
export interface SkfPayload {
  readonly kind: 'skf'
  /** Of the first payload inside; 0 in every fragment but the first. */
  readonly first: number
  /** 1..total. */
  readonly number: number
  readonly total: number
  readonly body: Uint8Array
}

/** Recognised only: EAP is not spoken. */
export interface EapPayload {
  readonly kind: 'eap'
  readonly data: Uint8Array
}

export interface UnknownPayload {
  readonly kind: 'unknown'
  readonly type: number
  readonly critical: boolean
  readonly data: Uint8Array
}
