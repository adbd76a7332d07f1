/** Run by blake2s.test.ts in a process that has no WebAssembly: how a hash of 100 zeros is made there, and what it is. */
import { blake2s, compressOnVectors } from '#shared/crypto/native/blake2s.ts'
import { simdCompression } from '#shared/crypto/native/blake2s-simd.ts'

compressOnVectors()
const digest = blake2s(32, new Uint8Array(0), new Uint8Array(100))
process.stdout.write(`${simdCompression() === undefined ? 'plain' : 'simd'} ${Buffer.from(digest).toString('hex')}`)
