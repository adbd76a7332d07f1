import { createCipheriv, createPrivateKey, pbkdf2Sync } from 'node:crypto'
import type { Suite } from '#shared/crypto/suite.ts'
import { Tag } from '#shared/pki/der.ts'
import { element, octetString, oid, sequence, smallInteger } from '#shared/pki/der-writer.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'

/**
 * A private key under a passphrase: EncryptedPrivateKeyInfo (RFC 5958 §3) in PEM, by PBES2 (RFC 8018) with PBKDF2-HMAC-SHA256 and
 * AES-256-CBC, which `openssl pkey` reads. Node's own export stops at 2048 rounds, so that this is written here.
 */

/** OWASP's figure for PBKDF2-HMAC-SHA256: half a second here, as much for each guess. */
const rounds = 600_000

const oids = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacWithSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
} as const

const label = 'ENCRYPTED PRIVATE KEY'

/** `plainPem`: PKCS#8, as `encodePrivateKey` makes it. */
export function encryptPrivateKey(plainPem: string, passphrase: string, suite: Pick<Suite, 'random'>): string {
  const [plain] = decodePem('PRIVATE KEY', plainPem)
  if (plain === undefined) throw new RangeError('no private key in PEM')
  const salt = suite.random(16)
  const iv = suite.random(16)
  const key = pbkdf2Sync(passphrase.normalize('NFC'), salt, rounds, 32, 'sha256')
  const cipher = createCipheriv('aes-256-cbc', key, iv)
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()])
  key.fill(0)
  const noParameters = element(Tag.Null)
  const derivation = sequence(
    oid(oids.pbkdf2),
    sequence(octetString(salt), smallInteger(rounds), sequence(oid(oids.hmacWithSha256), noParameters)),
  )
  const scheme = sequence(oid(oids.aes256Cbc), octetString(iv))
  const algorithm = sequence(oid(oids.pbes2), sequence(derivation, scheme))
  return encodePem(label, sequence(algorithm, octetString(sealed)))
}

/** PKCS#8 in PEM, in the clear; undefined where the passphrase is wrong or the file damaged, which look alike. */
export function decryptPrivateKey(pem: string, passphrase: string): string | undefined {
  const at = pem.indexOf(`-----BEGIN ${label}-----`)
  try {
    const key = createPrivateKey({ key: pem.slice(at), format: 'pem', passphrase: passphrase.normalize('NFC') })
    return key.export({ format: 'pem', type: 'pkcs8' }) as string
  } catch {
    return undefined
  }
}

/** The same of a file that may be in the clear: the passphrase is asked for only where it is not. */
export const openPrivateKey = async (pem: string, passphrase: () => Promise<string>): Promise<string | undefined> =>
  pem.includes(label) ? decryptPrivateKey(pem, await passphrase()) : pem
