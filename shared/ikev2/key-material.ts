import { concat } from '#shared/bytes/concat.ts'
import { type Suite, wipe } from '#shared/crypto/suite.ts'
import type { ChildAlgorithms, IkeAlgorithms } from '#shared/ikev2/agreed-algorithms.ts'
import type { PrfFunction } from '#shared/ikev2/signed-octets.ts'
import type { PrfDescriptor } from '#shared/ikev2/transform.ts'

/**
 * From a Diffie-Hellman secret to every key of an IKE SA and its Child SAs (RFC 7296 §2.13 to §2.18).
 *
 *   SKEYSEED = prf(Ni | Nr, g^ir)
 *   SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
 *   KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr)
 *
 * Results are fresh memory, whose taker wipes them.
 */
export interface IkeKeys {
  /** Secret from which Child SAs and rekeyed IKE SAs derive. */
  readonly d: Uint8Array
  /** Integrity, initiator to responder and back; empty with a combined-mode cipher. */
  readonly ai: Uint8Array
  readonly ar: Uint8Array
  /** Encryption, with the salt of a combined-mode cipher at the end. */
  readonly ei: Uint8Array
  readonly er: Uint8Array
  /** For AUTH. */
  readonly pi: Uint8Array
  readonly pr: Uint8Array
}

/** One direction of a Child SA: encryption key with its salt last, and integrity key, empty with a combined-mode cipher. */
export interface DirectionKeys {
  readonly encryption: Uint8Array
  readonly integrity: Uint8Array
}

/** `initiator`: what the initiator of the exchange sends with. */
export interface ChildKeys {
  readonly initiator: DirectionKeys
  readonly responder: DirectionKeys
}

/** The nonces of an exchange, without payload headers. */
export interface Nonces {
  readonly initiator: Uint8Array
  readonly responder: Uint8Array
}

/** The SPIs of an IKE SA. */
export interface IkeSpis {
  readonly initiator: bigint
  readonly responder: bigint
}

export const prfFunction =
  (suite: Suite, { hash }: PrfDescriptor): PrfFunction =>
  (key, ...data) =>
    suite.hmac(hash, key, ...data)

/** 255 blocks are the most that the counter of one byte allows (RFC 7296 §2.13). */
const MAX_BLOCKS = 255

/** prf+(key, seed), `length` bytes: T1 | T2 | … with Tn = prf(key, Tn-1 | seed | n). */
export function prfPlus(prf: PrfFunction, key: Uint8Array, seed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  const counter = new Uint8Array(1)
  let block = new Uint8Array(0)
  for (let at = 0; at < length; at += block.length) {
    if (counter[0] === MAX_BLOCKS) throw new RangeError(`prf+ cannot give ${length} bytes`)
    counter[0] = (counter[0] as number) + 1
    const previous = block
    block = prf(key, previous, seed, counter) as Uint8Array<ArrayBuffer>
    previous.fill(0)
    out.set(block.subarray(0, Math.min(block.length, length - at)), at)
  }
  block.fill(0)
  return out
}

/** Of a first exchange (§2.14). `shared`: g^ir as long as the group says. */
export function skeyseed(prf: PrfFunction, nonces: Nonces, shared: Uint8Array): Uint8Array {
  return prf(bothNonces(nonces), shared)
}

/** Of an IKE SA that follows another (§2.18); `prf` and `d` are those of the old one. */
export function rekeyedSkeyseed(prf: PrfFunction, d: Uint8Array, shared: Uint8Array, nonces: Nonces): Uint8Array {
  return prf(d, shared, nonces.initiator, nonces.responder)
}

const resumption = Uint8Array.from('Resumption', (letter) => letter.charCodeAt(0))

/** Of a resumed session (RFC 5723 §5.1); `prf` and `d` are those that the ticket holds. */
export function resumedSkeyseed(prf: PrfFunction, d: Uint8Array, nonces: Nonces): Uint8Array {
  return prf(d, resumption, nonces.initiator, nonces.responder)
}

/** The seven keys of an IKE SA (§2.14). `prf` is the new SA's. The seed is left to its owner to wipe. */
export function deriveIkeKeys(
  prf: PrfFunction,
  algorithms: IkeAlgorithms,
  skeyseed: Uint8Array,
  nonces: Nonces,
  spis: IkeSpis,
): IkeKeys {
  const secret = algorithms.prf.outputBytes
  const integrity = algorithms.integrity?.keyBytes ?? 0
  const encryption = algorithms.encryption.keyBytes + algorithms.encryption.saltBytes
  const seed = new Uint8Array(nonces.initiator.length + nonces.responder.length + 16)
  seed.set(nonces.initiator)
  seed.set(nonces.responder, nonces.initiator.length)
  const view = new DataView(seed.buffer, seed.length - 16)
  view.setBigUint64(0, spis.initiator)
  view.setBigUint64(8, spis.responder)
  const material = prfPlus(prf, skeyseed, seed, 3 * secret + 2 * integrity + 2 * encryption)
  const [d, ai, ar, ei, er, pi, pr] = cut(material, [secret, integrity, integrity, encryption, encryption, secret, secret])
  return { d: d!, ai: ai!, ar: ar!, ei: ei!, er: er!, pi: pi!, pr: pr! }
}

/**
 * Mixes a post-quantum pre-shared key into what authenticates and derives (RFC 8784 §3): SK_d, SK_pi and SK_pr become prf+(PPK, each).
 * What encrypts IKE_AUTH itself stays. The old keys' owner wipes them, save those that live on in the result.
 */
export function mixPpk(prf: PrfFunction, keys: IkeKeys, ppk: Uint8Array): IkeKeys {
  const mixed = (key: Uint8Array): Uint8Array => prfPlus(prf, ppk, key, key.length)
  return { ...keys, d: mixed(keys.d), pi: mixed(keys.pi), pr: mixed(keys.pr) }
}

/** KEYMAT of a Child SA (§2.17). `shared`: of the fresh key exchange, where there was one. */
export function deriveChildKeys(
  prf: PrfFunction,
  d: Uint8Array,
  algorithms: ChildAlgorithms,
  nonces: Nonces,
  shared: Uint8Array | undefined,
): ChildKeys {
  const encryption = algorithms.encryption.keyBytes + algorithms.encryption.saltBytes
  const integrity = algorithms.integrity?.keyBytes ?? 0
  const seed = shared === undefined ? bothNonces(nonces) : concat(shared, nonces.initiator, nonces.responder)
  const material = prfPlus(prf, d, seed, 2 * (encryption + integrity))
  seed.fill(0)
  const [ei, ai, er, ar] = cut(material, [encryption, integrity, encryption, integrity])
  return { initiator: { encryption: ei!, integrity: ai! }, responder: { encryption: er!, integrity: ar! } }
}

export const wipeIkeKeys = (keys: IkeKeys): void => wipe(keys.d, keys.ai, keys.ar, keys.ei, keys.er, keys.pi, keys.pr)

const bothNonces = ({ initiator, responder }: Nonces): Uint8Array => concat(initiator, responder)

/** Pieces in fresh memory, so that each can be wiped by who owns it; the whole is wiped here. */
function cut(material: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  let at = 0
  const pieces = lengths.map((length) => {
    at += length
    return material.slice(at - length, at)
  })
  material.fill(0)
  return pieces
}
