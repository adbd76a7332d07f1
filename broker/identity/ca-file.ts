import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { decodePrivateKey, type PrivateKeyKind } from '#shared/pki/private-key.ts'
import { type FilePort, readSecret } from '#shared/platform/files.ts'

/** One file of the authority's folder: a key or a certificate; undefined where there is none, and readable, or the authority is damaged. */
export const findKeyFile = (kind: PrivateKeyKind, path: string, suite: Suite, port: FilePort): Promise<KeyPair | undefined> =>
  find(path, port, (text) => decodePrivateKey(kind, text, suite))

export const findCertificateFile = (path: string, port: FilePort): Promise<Certificate | undefined> =>
  find(path, port, (text) => {
    const [der] = decodePem('CERTIFICATE', text)
    if (der === undefined) throw new PkiError('der-malformed', 'no certificate in PEM')
    return parseCertificate(der)
  })

/** What has to be there. */
export async function required<T>(path: string, found: Promise<T | undefined>): Promise<T> {
  const value = await found
  if (value === undefined) throw damagedFile(path, 'is missing')
  return value
}

async function find<T>(path: string, port: FilePort, read: (text: string) => T): Promise<T | undefined> {
  const bytes = await readSecret(path, port)
  if (bytes === undefined) return undefined
  try {
    return read(Buffer.from(bytes).toString('latin1'))
  } catch (error) {
    throw damagedFile(path, `cannot be read (${error instanceof Error ? error.message : String(error)})`)
  }
}

export const damagedFile = (path: string, why: string): AditError =>
  new AditError('storage-failed', `The certificate authority is damaged: ${path} ${why}.`, 'Restore the folder from its backup.')
