import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { contextConstructed, DerReader, readOctetBits, readSmallInteger, Tag } from '#shared/pki/der.ts'
import { bitString, element, octetString, oid, sequence, setOf, smallInteger } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { algorithms, tunnelKeyAttribute } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { checkPossession, macLength, provePossession, tunnelKeyLength } from '#shared/pki/possession.ts'
import { p256Spki, parsePublicKey } from '#shared/pki/public-key.ts'
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
}

/** Longest request read, in bytes: an honest one has some 300, one with a large RSA key some 2,000. */
const requestLimit = 16 * 1024

/** `name` becomes the subject for people who read requests; the CA does not look at it. */
export function createRequest(
  options: { name: string; identity: KeyPair; tunnel?: { pair: KeyPair; enrolmentKey: Uint8Array } },
  suite: Suite,
): Uint8Array {
  const { name, identity, tunnel } = options
  const spki = p256Spki(identity.publicKey)
  const attributes: Uint8Array[] = []
  if (tunnel !== undefined) {
    const mac = provePossession(tunnel.pair, tunnel.enrolmentKey, spki, suite)
    attributes.push(sequence(oid(tunnelKeyAttribute), setOf(sequence(octetString(tunnel.pair.publicKey), octetString(mac)))))
  }
  const body = sequence(smallInteger(0), commonName(name), spki, element(contextConstructed(0), ...attributes))
  return sequence(body, sequence(oid(algorithms.ecdsaSha256)), bitString(suite.ecdsaP256.sign(identity, body)))
}

/** Throws PkiError with the reason, and nothing else. `enrolment`: the CA's X25519 pair. */
export function verifyRequest(der: Uint8Array, enrolment: KeyPair, suite: Suite): VerifiedRequest {
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
  body.next(Tag.Sequence)
  const spki = body.next(Tag.Sequence).whole
  // Some stock clients leave the attributes out altogether.
  const attributes = body.optional(contextConstructed(0))?.content
  body.end()

  const key = parsePublicKey(spki)
  if (key.kind !== 'p256')
    throw new PkiError('key-unsupported', `its key is of kind ${key.kind}; certificates are for P-256 keys only`)
  if (!verifySignature(algorithm, key, signed.whole, signature)) {
    throw new PkiError('signature-invalid', 'its signature is not by the key that it presents')
  }
  const proof = attributes === undefined ? undefined : findProof(attributes)
  if (proof === undefined) return { spki: Uint8Array.from(spki) }
  checkPossession(proof, enrolment, spki, suite)
  return { spki: Uint8Array.from(spki), tunnelKey: Uint8Array.from(proof.tunnelKey) }
}

/** The private attribute, once at most; all others are passed over unread. */
function findProof(attributes: Uint8Array): { tunnelKey: Uint8Array; mac: Uint8Array } | undefined {
  const list = new DerReader(attributes)
  let proof: { tunnelKey: Uint8Array; mac: Uint8Array } | undefined
  while (!list.done) {
    const attribute = list.sequence()
    if (attribute.oid() !== tunnelKeyAttribute) continue
    if (proof !== undefined) throw new PkiError('request-malformed', 'it has two tunnel keys')
    const values = new DerReader(attribute.content(Tag.Set))
    const fields = values.sequence()
    values.end()
    const tunnelKey = fields.content(Tag.OctetString)
    const mac = fields.content(Tag.OctetString)
    fields.end()
    if (tunnelKey.length !== tunnelKeyLength || mac.length !== macLength) {
      throw new PkiError('request-malformed', 'its tunnel key or the proof of it has a wrong length')
    }
    proof = { tunnelKey, mac }
  }
  return proof
}
