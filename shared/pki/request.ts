import { type IdentityKey, signAs } from '#shared/crypto/identity-signer.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { contextConstructed, DerReader, readOctetBits, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { bitString, element, octetString, oid, sequence, setOf, smallInteger, utf8String } from '#shared/pki/der-writer.ts'
import { commonName, parseName, valuesOf } from '#shared/pki/distinguished-name.ts'
import { algorithms, names, requestAttributes, tunnelKeyAttribute } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { checkPossession, macLength, provePossession, tunnelKeyLength } from '#shared/pki/possession.ts'
import { type PublicKey, p256Spki, parsePublicKey } from '#shared/pki/public-key.ts'
import { parseSignatureAlgorithm, verifySignature } from '#shared/pki/signature.ts'

/**
 * Certification requests, PKCS#10 (RFC 2986). Ours are signed by the P-256 identity key and carry the tunnel key with its proof of
 * possession in one private attribute; requests of stock EST clients have no such attribute and any others.
 */

/** What a request proved. Names and extensions that it asks for are not even reported: nothing may come to trust them. */
export interface VerifiedRequest {
  /** SubjectPublicKeyInfo DER of the P-256 identity key whose possession the self-signature proved. */
  spki: Uint8Array
  /** 32 bytes; present where the private attribute proved possession of it. */
  tunnelKey?: Uint8Array
  /** The one serial number of the subject (2.5.4.5), up to 64 characters: said, never proven, good only to be held against a list. */
  statedSerial?: string
  /** challengePassword (RFC 2985 §5.4.1), up to 255 characters: in EST the binding to the TLS connection (RFC 7030 §3.5). */
  challenge?: string
}

/** Longest request read, in bytes: an honest one has some 300, one with a large RSA key some 2,000. */
const requestLimit = 16 * 1024
/** Upper bounds of RFC 2985 §5.4.1 and X.520 §6.2.9, in characters. */
const challengeLimit = 255
const serialLimit = 64

/** `name` becomes the subject for people who read requests; the CA does not look at it. `serial`: what the unit says its number is. */
export function createRequest(
  options: { name: string; serial?: string; identity: IdentityKey; tunnel?: { pair: KeyPair; enrolmentKey: Uint8Array } },
  suite: Suite,
): Uint8Array {
  const { name, serial, identity, tunnel } = options
  const spki = p256Spki(identity.publicKey)
  const attributes: Uint8Array[] = []
  if (tunnel !== undefined) {
    const mac = provePossession(tunnel.pair, tunnel.enrolmentKey, spki, suite)
    attributes.push(sequence(oid(tunnelKeyAttribute), setOf(sequence(octetString(tunnel.pair.publicKey), octetString(mac)))))
  }
  const subject = serial === undefined ? commonName(name) : nameWithSerial(name, serial)
  const body = sequence(smallInteger(0), subject, spki, element(contextConstructed(0), ...attributes))
  return sequence(body, sequence(oid(algorithms.ecdsaSha256)), bitString(signAs(identity, body, suite)))
}

/** A key of a stock peer, as it signs its own request. */
export interface RequestSigner {
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array
  readonly kind: PublicKey['kind']
  /** By ECDSA with SHA-256 (P-256) or SHA-384 (P-384), Ed25519, or RSASSA-PKCS1-v1_5 with SHA-256. */
  sign(message: Uint8Array): Uint8Array
}

const signatureOids = {
  p256: sequence(oid(algorithms.ecdsaSha256)),
  p384: sequence(oid(algorithms.ecdsaSha384)),
  ed25519: sequence(oid(algorithms.ed25519)),
  rsa: sequence(oid(algorithms.rsaSha256), element(Tag.Null)),
} as const

/** A request without attributes, for a key of any kind that we certify for stock IPsec peers. */
export function createStockRequest(name: string, { spki, kind, sign }: RequestSigner): Uint8Array {
  const body = sequence(smallInteger(0), commonName(name), spki, element(contextConstructed(0)))
  return sequence(body, signatureOids[kind], bitString(sign(body)))
}

/** Throws PkiError with the reason, and nothing else. `enrolment`: the CA's X25519 pair. */
export function verifyRequest(der: Uint8Array, enrolment: KeyPair, suite: Suite): VerifiedRequest {
  const { spki, subject, attributes } = readRequest(der, ['p256'])
  const { proof, challenge } = readAttributes(attributes ?? new Uint8Array())
  const statedSerial = serialIn(subject)
  const stated = { ...(statedSerial !== undefined && { statedSerial }), ...(challenge !== undefined && { challenge }) }
  if (proof === undefined) return { spki, ...stated }
  checkPossession(proof, enrolment, spki, suite)
  return { spki, tunnelKey: Uint8Array.from(proof.tunnelKey), ...stated }
}

/**
 * A stock IPsec peer's: of a key of P-256, P-384, Ed25519 or RSA from 2048 bits, whose possession its signature proves. Not for agents:
 * they enrol by `verifyRequest`. Throws PkiError with the reason.
 */
export function verifyStockRequest(der: Uint8Array): { spki: Uint8Array; kind: PublicKey['kind'] } {
  const { spki, kind } = readRequest(der, ['p256', 'p384', 'ed25519', 'rsa'])
  return { spki, kind }
}

/** The key of a request that is signed by it; one of another kind than `kinds` costs no verification. */
function readRequest(
  der: Uint8Array,
  kinds: readonly PublicKey['kind'][],
): { spki: Uint8Array; kind: PublicKey['kind']; subject: Uint8Array; attributes: Uint8Array | undefined } {
  if (der.length > requestLimit) throw new PkiError('too-large', `the request is larger than ${requestLimit} bytes`)
  const outer = new DerReader(der)
  const request = outer.sequence()
  outer.end()
  const signed = request.next(Tag.Sequence)
  const algorithm = parseSignatureAlgorithm(request.next(Tag.Sequence).whole)
  const signature = readOctetBits(request.content(Tag.BitString))
  request.end()

  const body = new DerReader(signed.content)
  if (readSmallInteger(body.content(Tag.Integer)) !== 0) throw new PkiError('request-malformed', 'its version is not 1')
  const subject = body.next(Tag.Sequence).whole
  const spki = body.next(Tag.Sequence).whole
  // Some stock clients leave the attributes out altogether.
  const attributes = body.optional(contextConstructed(0))?.content
  body.end()

  const key = parsePublicKey(spki)
  if (!kinds.includes(key.kind))
    throw new PkiError('key-unsupported', `its key is of kind ${key.kind}; certificates are for P-256 keys only`)
  if (!verifySignature(algorithm, key, signed.whole, signature)) {
    throw new PkiError('signature-invalid', 'its signature is not by the key that it presents')
  }
  return { spki: Uint8Array.from(spki), kind: key.kind, subject, attributes }
}

/** The private attribute and the challenge, each once at most; all others are passed over unread. */
function readAttributes(attributes: Uint8Array): { proof?: { tunnelKey: Uint8Array; mac: Uint8Array }; challenge?: string } {
  const list = new DerReader(attributes)
  const found: ReturnType<typeof readAttributes> = {}
  while (!list.done) {
    const attribute = list.sequence()
    const type = attribute.oid()
    if (type === tunnelKeyAttribute) {
      if (found.proof !== undefined) throw new PkiError('request-malformed', 'it has two tunnel keys')
      found.proof = readProof(attribute.content(Tag.Set))
    }
    if (type === requestAttributes.challengePassword) {
      if (found.challenge !== undefined) throw new PkiError('request-malformed', 'it has two challenge passwords')
      found.challenge = readChallenge(attribute.content(Tag.Set))
    }
  }
  return found
}

function readProof(set: Uint8Array): { tunnelKey: Uint8Array; mac: Uint8Array } {
  const values = new DerReader(set)
  const fields = values.sequence()
  values.end()
  const tunnelKey = fields.content(Tag.OctetString)
  const mac = fields.content(Tag.OctetString)
  fields.end()
  if (tunnelKey.length !== tunnelKeyLength || mac.length !== macLength) {
    throw new PkiError('request-malformed', 'its tunnel key or the proof of it has a wrong length')
  }
  return { tunnelKey, mac }
}

/** A DirectoryString of 1 to 255 characters; whatever its type, it is compared as bytes of base64, so Latin-1 loses nothing. */
function readChallenge(set: Uint8Array): string {
  const values = new DerReader(set)
  const { content } = values.next()
  values.end()
  if (content.length < 1 || content.length > challengeLimit)
    throw new PkiError('request-malformed', `its challenge password is not of 1 to ${challengeLimit} characters`)
  return Buffer.from(content).toString('latin1')
}

/** A subject that is no name at all is a stranger's business: nothing of it is used. */
function serialIn(subject: Uint8Array): string | undefined {
  try {
    const [serial, ...others] = valuesOf(parseName(subject), names.serialNumber)
    return others.length === 0 && serial !== undefined && serial.length <= serialLimit ? serial : undefined
  } catch (error) {
    if (error instanceof PkiError) return undefined
    throw error
  }
}

const nameWithSerial = (name: string, serial: string): Uint8Array =>
  sequence(
    setOf(sequence(oid(names.commonName), utf8String(name))),
    setOf(sequence(oid(names.serialNumber), element(Tag.PrintableString, Buffer.from(serial, 'latin1')))),
  )
