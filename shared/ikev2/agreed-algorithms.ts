import {
  describe,
  type EncryptionDescriptor,
  type IntegrityDescriptor,
  type KeyExchangeDescriptor,
  type PrfDescriptor,
  type TransformDescriptor,
} from '#shared/ikev2/transform.ts'
import { Esn, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'

/** What protects an IKE SA and makes its keys. */
export interface IkeAlgorithms {
  readonly encryption: EncryptionDescriptor
  /** Undefined with a combined-mode cipher. */
  readonly integrity: IntegrityDescriptor | undefined
  readonly prf: PrfDescriptor
  readonly keyExchange: KeyExchangeDescriptor
}

/** What protects a Child SA. */
export interface ChildAlgorithms {
  readonly encryption: EncryptionDescriptor
  /** Undefined with a combined-mode cipher, GMAC included. */
  readonly integrity: IntegrityDescriptor | undefined
  /** Of a fresh exchange (PFS); undefined: the keys come from SK_d alone. */
  readonly keyExchange: KeyExchangeDescriptor | undefined
  readonly esn: boolean
}

/** `chosen` has one transform a type, as `selectProposal` gives it. Throws RangeError where it is no whole set of ours. */
export function ikeAlgorithms(chosen: Proposal): IkeAlgorithms {
  const { encryption, integrity, prf, keyExchange } = descriptorsOf(chosen)
  if (encryption === undefined || prf === undefined || keyExchange === undefined)
    throw new RangeError('an IKE SA needs encryption, a PRF and a key exchange')
  if (encryption.mode === 'gmac' || encryption.mode === 'null') throw new RangeError(`${encryption.name} is not for IKE`)
  checkIntegrity(encryption, integrity)
  return { encryption, integrity, prf, keyExchange }
}

/** The same for ESP. */
export function childAlgorithms(chosen: Proposal): ChildAlgorithms {
  const { encryption, integrity, keyExchange, esn } = descriptorsOf(chosen)
  if (encryption === undefined) throw new RangeError('a Child SA needs an encryption transform')
  checkIntegrity(encryption, integrity)
  return { encryption, integrity, keyExchange, esn: esn?.id === Esn.Yes }
}

function checkIntegrity(encryption: EncryptionDescriptor, integrity: IntegrityDescriptor | undefined): void {
  if (encryption.icvBytes === 0 && integrity === undefined)
    throw new RangeError(`${encryption.name} needs an integrity transform`)
  if (encryption.icvBytes > 0 && integrity !== undefined) throw new RangeError(`${encryption.name} brings its own integrity`)
}

interface Descriptors {
  encryption?: EncryptionDescriptor
  integrity?: IntegrityDescriptor
  prf?: PrfDescriptor
  keyExchange?: KeyExchangeDescriptor
  esn?: Extract<TransformDescriptor, { type: typeof TransformType.Esn }>
}

/** `none` of integrity or key exchange (number 0) is the same as no such transform (RFC 7296 §3.3.2). */
function descriptorsOf(chosen: Proposal): Descriptors {
  const found: Descriptors = {}
  for (const transform of chosen.transforms) {
    const optional = transform.type === TransformType.Integrity || transform.type === TransformType.KeyExchange
    if (optional && transform.id === 0) continue
    const one = describe(transform)
    if (one?.type === TransformType.Encryption) found.encryption = one
    else if (one?.type === TransformType.Prf) found.prf = one
    else if (one?.type === TransformType.Integrity) found.integrity = one
    else if (one?.type === TransformType.KeyExchange) found.keyExchange = one
    else if (one?.type === TransformType.Esn) found.esn = one
    else throw new RangeError(`transform ${transform.id} of type ${transform.type} is none of ours`)
  }
  return found
}
