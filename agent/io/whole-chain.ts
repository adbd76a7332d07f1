import { X509Certificate } from 'node:crypto'
import { decodePem, encodePem } from '#shared/pki/pem.ts'

/**
 * Whether PEM certificates are as they were issued: each is signed by the next, the last by one of the roots. Without roots, each is a
 * root itself. A spoilt bit anywhere breaks a signature. Times and rights are judged elsewhere.
 */
export function isWholeChain(chain: string, root = chain): boolean {
  try {
    const issued = decodePem('CERTIFICATE', chain)
    if (issued.length === 0) return false
    // Where the issuing CA is not in the file there is nothing to check the leaf by.
    if (chain !== root && issued.length === 1) return new X509Certificate(issued[0]!).raw.length > 0
    const certificates = issued.map((der) => new X509Certificate(der))
    const roots = decodePem('CERTIFICATE', root).map((der) => new X509Certificate(der))
    if (!roots.every((one) => one.verify(one.publicKey))) return false
    if (chain === root) return true
    const isLinked = certificates.slice(1).every((issuer, at) => certificates[at]!.verify(issuer.publicKey))
    return isLinked && roots.some((one) => certificates.at(-1)!.verify(one.publicKey))
  } catch {
    return false
  }
}

/**
 * The chain, where it is whole under these roots; else its leaf alone. The authorities above a leaf may be certified by a root that we do not
 * know yet, and the broker knows them better than we do.
 */
export function chainUnder(chain: string, root: string): string {
  if (isWholeChain(chain, root)) return chain
  const [leaf] = decodePem('CERTIFICATE', chain)
  return leaf === undefined ? chain : encodePem('CERTIFICATE', leaf)
}
