import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OpensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { type CipherUser, LaneCiphers } from '#shared/platform/linux-engine/lane-ciphers.ts'
import type { NativeMemory } from '#shared/platform/linux-engine/memory.ts'

const bytes = new Uint8Array(128)
const memory = { bytes, allocate: () => 16, address: (at: number) => at } as unknown as NativeMemory
const copyKey = (to: number, from: number, length: number): number => {
  bytes.fill(from, to, to + length)
  return to
}

class User implements CipherUser {
  readonly algorithm = 'chacha20-poly1305'
  readonly keys: number
  dropped = 0

  constructor(keys: number) {
    this.keys = keys
  }

  dropCiphers(): void {
    this.dropped++
  }
}

test('who asked first gives his ciphers away when there are no more', () => {
  const seen: number[] = []
  const crypto = { context: (_name: string, _way: string, at: number) => seen.push(bytes[at]!) } as unknown as OpensslCrypto
  const ciphers = new LaneCiphers(crypto, memory, copyKey, 2)
  const [a, b, c] = [new User(1), new User(2), new User(3)]
  ciphers.lend(a)
  ciphers.lend(b)
  assert.deepEqual([a.dropped, b.dropped], [0, 0])
  ciphers.lend(c)
  assert.deepEqual([a.dropped, b.dropped], [1, 0])
  ciphers.lend(a)
  assert.deepEqual([b.dropped, c.dropped], [1, 0])
  // Each with his own key, both ways.
  assert.deepEqual(seen, [1, 1, 2, 2, 3, 3, 1, 1])
})

test('no key stays behind, whatever happens', () => {
  const crypto = {
    context: () => {
      throw new Error('no memory')
    },
  } as unknown as OpensslCrypto
  const ciphers = new LaneCiphers(crypto, memory, copyKey, 2)
  assert.throws(() => ciphers.lend(new User(7)), /no memory/)
  assert.ok(bytes.every((byte) => byte === 0))
})
