import { X509Certificate } from 'node:crypto'
import { decodePem } from '#shared/pki/pem.ts'

/**
 * Whether PEM certificates are as they were issued: each is signed by the next, the last by the root. Without a root, the one certificate
 * is a root itself. A spoilt bit anywhere breaks a signature. Times and rights are judged elsewhere.
 */
export function isWholeChain(chain: string, root = chain): boolean {
  try {
    const issued = decodePem('CERTIFICATE', chain)
    if (issued.length === 0) return false
    // Where the issuing CA is not in the file there is nothing to check the leaf by.
    if (chain !== root && issued.length === 1) return new X509Certificate(issued[0]!).raw.length > 0
    const certificates = [...issued, decodePem('CERTIFICATE', root)[0]!].map((der) => new X509Certificate(der))
    return certificates.every((certificate, at) => certificate.verify((certificates[at + 1] ?? certificate).publicKey))
  } catch {
    return false
  }
}
