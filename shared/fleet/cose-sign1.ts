import type { Signer, Suite } from '#shared/crypto/suite.ts'
import { CborError, CborTag, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'

/**
 * COSE_Sign1 (RFC 9052 §4.2): one signature over a payload that travels with it.
 *
 *   18([ bstr .cbor {1: alg, ? 4: kid}, {}, payload bstr, signature bstr ])
 */
export interface Sign1 {
  /** The protected header as it was signed: the encoded map, empty for an empty map. */
  readonly protectedBytes: Uint8Array
  readonly protectedHeader: ReadonlyMap<CborValue, CborValue>
  readonly unprotectedHeader: ReadonlyMap<CborValue, CborValue>
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/** Labels of header parameters (RFC 9052 §3.1) and algorithms (RFC 9053 §2). */
export const Header = { algorithm: 1, critical: 2, keyId: 4 } as const
export const Algorithm = { EdDSA: -8, ES256: -7 } as const

const sign1Tag = 18
const empty = new Uint8Array()

/** Throws CborError, and nothing else: `malformed` where it is CBOR but no COSE_Sign1 with a payload of its own. */
export function decodeSign1(bytes: Uint8Array, limit: number): Sign1 {
  const limits = { depth: 8, items: 1024, bytes: limit }
  const tagged = decodeCbor(bytes, { ...limits, tags: true })
  if (!(tagged instanceof CborTag) || tagged.tag !== sign1Tag || !Array.isArray(tagged.content) || tagged.content.length !== 4)
    throw new CborError('malformed', 'no tagged COSE_Sign1')
  const [protectedBytes, unprotectedHeader, payload, signature] = tagged.content as CborValue[]
  if (!(protectedBytes instanceof Uint8Array) || !(payload instanceof Uint8Array) || !(signature instanceof Uint8Array))
    throw new CborError('malformed', 'header, payload and signature of a COSE_Sign1 are byte strings')
  const protectedHeader = protectedBytes.length === 0 ? new Map() : decodeCbor(protectedBytes, limits)
  if (!(protectedHeader instanceof Map) || !(unprotectedHeader instanceof Map))
    throw new CborError('malformed', 'the headers of a COSE_Sign1 are maps')
  return { protectedBytes, protectedHeader, unprotectedHeader, payload, signature }
}

type Signed = Pick<Sign1, 'protectedBytes' | 'protectedHeader' | 'payload'>

/**
 * What is signed (RFC 9052 §4.4). `externalAad`: what both ends know without being told. An empty map counts as no bytes, however it was
 * written.
 */
export const sigStructure = ({ protectedBytes, protectedHeader, payload }: Signed, externalAad: Uint8Array): Uint8Array =>
  encodeCanonicalCbor(['Signature1', protectedHeader.size === 0 ? empty : protectedBytes, externalAad, payload])

/** Never throws on a stranger's bytes. */
export const verifySign1 = (message: Sign1, signer: Signer, publicKey: Uint8Array, externalAad: Uint8Array = empty): boolean =>
  signer.verify(publicKey, sigStructure(message, externalAad), message.signature)

/** Deterministic (RFC 8949 §4.2.1): one payload, key and kid give one message. */
export function signSign1(
  payload: Uint8Array,
  { suite, pair, keyId, externalAad }: Signing & { keyId: Uint8Array; externalAad: Uint8Array },
): Uint8Array {
  const header: [CborValue, CborValue][] = [
    [Header.algorithm, Algorithm.EdDSA],
    [Header.keyId, keyId],
  ]
  const protectedHeader = new Map(header)
  const protectedBytes = encodeCanonicalCbor(protectedHeader)
  const signature = suite.ed25519.sign(pair, sigStructure({ protectedBytes, protectedHeader, payload }, externalAad))
  return encodeCanonicalCbor(new CborTag(sign1Tag, [protectedBytes, new Map(), payload, signature]))
}

/** An Ed25519 pair and what signs with it. */
export interface Signing {
  readonly suite: Pick<Suite, 'ed25519' | 'hash'>
  readonly pair: Parameters<Signer['sign']>[0]
}
