import { isSerial } from '#shared/enrolment/unit-serial.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { authorityKeyIdentifier } from '#shared/pki/certificate-writer.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { factoryPurposes, names, purposes } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** What a board's IDevID (IEEE 802.1AR §8) says: who made it, and which of theirs it is. */
export interface Idevid {
  readonly serial: string
  readonly leaf: Certificate
  /** Its maker's root. */
  readonly factory: Certificate
}

/** Of an IDevID and of everything above it: RFC 5280 §4.1.2.5 has it for what has no end that is known. */
export const noEnd = Date.UTC(9999, 11, 31, 23, 59, 59) as WallTime

/** CAs between an IDevID and its maker's root. */
const deepest = 1
const signatureBudget = 4

/**
 * Judges an IDevID chain (DER, leaf first) against makers' roots. Its subject is one serial number and nothing else; one without the
 * purpose of its own is none, and one with a role in a fleet beside it neither (A-36). Throws PkiError.
 */
export function judgeIdevid(chain: readonly Uint8Array[], factories: readonly Certificate[], now: WallTime): Idevid {
  const { leaf, intermediates } = parseChain(chain, parseCertificate)
  const path = verifyChain(leaf, intermediates, {
    anchors: factories,
    now,
    purposes: [factoryPurposes.idevid],
    keyUsage: KeyUsage.digitalSignature,
    maxDepth: deepest,
    signatureBudget,
  })
  const allowed: readonly string[] = [factoryPurposes.idevid, purposes.clientAuth]
  if (leaf.extensions.purposes?.oids.some((oid) => !allowed.includes(oid)))
    throw new PkiError('purpose', 'an IDevID with a purpose that boards have not')
  if (leaf.publicKey.kind !== 'p256') throw new PkiError('key-unsupported', 'an IDevID key that is not of P-256')
  return { serial: serialOf(leaf), leaf, factory: path.at(-1) as Certificate }
}

/** AuthorityKeyIdentifier DER, as a voucher's `idevid-issuer` has it. */
export function issuerIdentifier({ extensions }: Certificate): Uint8Array {
  const id = extensions.authorityKeyId?.id
  if (id === undefined) throw new PkiError('extension-missing', 'no authority key identifier')
  return authorityKeyIdentifier(id)
}

function serialOf(leaf: Certificate): string {
  const [serial, ...others] = valuesOf(leaf.subjectName, names.serialNumber)
  if (serial === undefined || others.length > 0 || leaf.subjectName.flat().length !== 1 || leaf.extensions.subjectAltNames)
    throw new PkiError('identity-malformed', 'a subject that is not exactly one serial number')
  if (isSerial(serial)) return serial
  throw new PkiError('identity-malformed', 'a serial number that is not allowed')
}
