import { toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { noEnd } from '#shared/enrolment/idevid.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  caConstraints,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  subjectKeyId,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { Tag } from '#shared/pki/der.ts'
import { element, oid, sequence, setOf, utf8String } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { factoryPurposes, names, purposes } from '#shared/pki/oids.ts'
import { type Ca, newSerial } from '#shared/pki/peer-leaf.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { minutes, type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * The certificates of a maker of boards (IEEE 802.1AR):
 *
 *   root --+-- IDevID CA -- IDevID of each board      asks for an operational identity, and does nothing else
 *          +-- voucher signer                         says who owns a board
 *
 * None of them ends: a board that lies in a drawer for twenty years must still be able to say who it is.
 */

/** How far before now a certificate begins, for clocks that are a little late. */
const backDated = minutes(5)

export function makeFactoryRoot(name: string, now: WallTime, suite: Suite): Ca {
  const pair = suite.ecdsaP256.generate()
  const subject = commonName(`${name} factory root ${toHex(suite.random(4))}`)
  const marks = [caConstraints(1), keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign)]
  return { certificate: issue({ subject, spki: p256Spki(pair.publicKey), marks }, { subject, pair }, now, suite), pair }
}

export function makeIdevidCa(name: string, root: Ca, now: WallTime, suite: Suite): Ca {
  const pair = suite.ecdsaP256.generate()
  const subject = commonName(`${name} IDevID CA ${toHex(suite.random(4))}`)
  const marks = [
    caConstraints(0),
    keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign),
    keyPurposes(purposes.clientAuth, factoryPurposes.idevid),
  ]
  return { certificate: issue({ subject, spki: p256Spki(pair.publicKey), marks }, signedBy(root), now, suite), pair }
}

export function makeVoucherSigner(name: string, root: Ca, now: WallTime, suite: Suite): Ca {
  const pair = suite.ecdsaP256.generate()
  const subject = commonName(`${name} vouchers ${toHex(suite.random(4))}`)
  const marks = [keyUsage(KeyUsage.digitalSignature), keyPurposes(factoryPurposes.voucher)]
  return { certificate: issue({ subject, spki: p256Spki(pair.publicKey), marks }, signedBy(root), now, suite), pair }
}

/** `serial`: the board's, as `checkSerial` gives it; `spki`: of its P-256 key. Nothing of a request but its proven key comes in here. */
export function issueIdevid(ca: Ca, { serial, spki }: { serial: string; spki: Uint8Array }, now: WallTime, suite: Suite) {
  const marks = [keyUsage(KeyUsage.digitalSignature), keyPurposes(purposes.clientAuth, factoryPurposes.idevid)]
  return issue({ subject: serialName(serial), spki, marks }, signedBy(ca), now, suite)
}

const signedBy = ({ certificate, pair }: Ca) => ({ subject: certificate.subject, pair, spki: certificate.spki })

/** An issuer without an `spki` issues for itself. */
function issue(
  { subject, spki, marks }: { subject: Uint8Array; spki: Uint8Array; marks: readonly Uint8Array[] },
  issuer: { subject: Uint8Array; pair: KeyPair; spki?: Uint8Array },
  now: WallTime,
  suite: Suite,
): Certificate {
  const identifiers = [
    subjectKeyId(keyIdentifier(spki, suite)),
    ...(issuer.spki ? [authorityKeyId(keyIdentifier(issuer.spki, suite))] : []),
  ]
  const content = {
    serial: newSerial(suite),
    issuer: issuer.subject,
    subject,
    notBefore: wallTime(Math.max(0, now - backDated)),
    notAfter: noEnd,
    spki,
    extensions: [...marks, ...identifiers],
  }
  return parseCertificate(writeCertificate(content, issuer.pair, suite))
}

/** X520SerialNumber is a PrintableString, which has no underscore: a serial number with one is UTF-8, as other names are. */
const serialName = (serial: string): Uint8Array =>
  sequence(
    setOf(
      sequence(
        oid(names.serialNumber),
        serial.includes('_') ? utf8String(serial) : element(Tag.PrintableString, Buffer.from(serial, 'latin1')),
      ),
    ),
  )
