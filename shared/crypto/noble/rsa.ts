import { pow } from '@noble/curves/abstract/modular.js'
import { bytesToNumberBE, numberToBytesBE } from '@noble/curves/utils.js'
import { CryptoError, type RsaPrivateKey, type RsaPublicKey, type RsaSigner } from '../suite.ts'
import { encodePkcs1, encodePss, verifyPss } from './rsa-encodings.ts'

/** RSA signatures (RFC 8017) in bigints: a reference, slow and not constant in time. */
export const rsa: RsaSigner = {
  sign(key, padding, hash, message) {
    const { modulus, bits, size } = sizesOf(key)
    const encoded = padding === 'pkcs1' ? encodePkcs1(hash, message, size) : encodePss(hash, message, bits - 1)
    if (encoded === undefined) throw new CryptoError('key', 'the modulus is too short for this hash')
    const signature = privateOperation(key, bytesToNumberBE(encoded))
    if (pow(signature, bytesToNumberBE(key.exponent), modulus) !== bytesToNumberBE(encoded))
      throw new CryptoError('key', 'the private key cannot be used')
    return numberToBytesBE(signature, size)
  },

  verify(key, padding, hash, message, signature) {
    const { modulus, bits, size } = sizesOf(key)
    const number = bytesToNumberBE(signature)
    if (signature.length !== size || number >= modulus) return false
    const opened = pow(number, bytesToNumberBE(key.exponent), modulus)
    if (padding === 'pkcs1') {
      const expected = encodePkcs1(hash, message, size)
      return expected !== undefined && bytesToNumberBE(expected) === opened
    }
    const encodedSize = Math.ceil((bits - 1) / 8)
    if (opened >> BigInt(8 * encodedSize) !== 0n) return false
    return verifyPss(hash, message, numberToBytesBE(opened, encodedSize), bits - 1)
  },
}

function sizesOf(key: RsaPublicKey): { modulus: bigint; bits: number; size: number } {
  const modulus = bytesToNumberBE(key.modulus)
  const bits = modulus.toString(2).length
  return { modulus, bits, size: Math.ceil(bits / 8) }
}

/** RFC 8017 §5.1.2, by the Chinese remainder theorem. */
function privateOperation(key: RsaPrivateKey, message: bigint): bigint {
  const [p, q] = [bytesToNumberBE(key.prime1), bytesToNumberBE(key.prime2)]
  const m1 = pow(message, bytesToNumberBE(key.exponent1), p)
  const m2 = pow(message, bytesToNumberBE(key.exponent2), q)
  const difference = (((m1 - m2) % p) + p) % p
  return m2 + ((difference * bytesToNumberBE(key.coefficient)) % p) * q
}
