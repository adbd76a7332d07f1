import type { AeadName, OpensslCrypto } from './openssl-crypto.ts'

/** Hex; `sealed` is ciphertext and tag. */
interface KnownAnswer {
  readonly algorithm: AeadName
  readonly key: string
  readonly nonce: string
  readonly aad: string
  readonly plain: string
  readonly sealed: string
}

/** McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4, 10 and 16. */
const gcm = {
  nonce: 'cafebabefacedbaddecaf888',
  aad: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
  plain:
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da' +
    '2e4c303d8a318a72' +
    '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
} as const

export const knownAnswers: readonly KnownAnswer[] = [
  {
    // RFC 8439 §2.8.2
    algorithm: 'chacha20-poly1305',
    key: '808182838485868788898a8b8c8d8e8f9091929394959697' + '98999a9b9c9d9e9f',
    nonce: '070000004041424344454647',
    aad: '50515253c0c1c2c3c4c5c6c7',
    plain:
      '4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666657220796f75206f' +
      '6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e',
    sealed:
      'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36' +
      '92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b6116' +
      '1ae10b594f09e26a7e902ecbd0600691',
  },
  {
    algorithm: 'aes-128-gcm',
    key: 'feffe9928665731c6d6a8f9467308308',
    ...gcm,
    sealed:
      '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e0' +
      '35c17e2329aca12e' +
      '21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091' +
      '5bc94fbc3221a5db94fae95ae7121a47',
  },
  {
    algorithm: 'aes-192-gcm',
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c',
    ...gcm,
    sealed:
      '3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984' +
      '628593b40ca1e19c' +
      '7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710' +
      '2519498e80f1478f37ba55bd6d27618c',
  },
  {
    algorithm: 'aes-256-gcm',
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c' + '6d6a8f9467308308',
    ...gcm,
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c9' +
      '7598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  },
]

/** Where each part stands, from the start of the room. */
const ROOM = { key: 0, nonce: 32, aad: 48, plain: 80, sealed: 208, out: 352, length: 496 } as const

/**
 * Whether every algorithm seals and opens as published, twice with the same context, in place too, and refuses what was changed. Names
 * what fails; undefined: nothing does.
 */
export function failedAnswer(crypto: OpensslCrypto): string | undefined {
  const { memory } = crypto
  const room = memory.allocate(ROOM.length)
  for (const answer of knownAnswers) {
    try {
      const failure = tryAnswer(crypto, answer, room)
      if (failure !== undefined) return `${answer.algorithm} ${failure}`
    } catch (error) {
      return `${answer.algorithm}: ${(error as Error).message}`
    }
  }
  return undefined
}

function tryAnswer(crypto: OpensslCrypto, answer: KnownAnswer, room: number): string | undefined {
  const { bytes } = crypto.memory
  const put = (at: number, hex: string): Uint8Array => {
    const raw = Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
    bytes.set(raw, room + at)
    return raw
  }
  const key = put(ROOM.key, answer.key)
  put(ROOM.nonce, answer.nonce)
  const aad = put(ROOM.aad, answer.aad)
  const plain = put(ROOM.plain, answer.plain)
  const sealed = put(ROOM.sealed, answer.sealed)
  const out = room + ROOM.out
  const is = (expected: Uint8Array) => expected.every((byte, i) => byte === bytes[out + i])
  const sealing = crypto.context(answer.algorithm, 'seal', room + ROOM.key)
  const opening = crypto.context(answer.algorithm, 'open', room + ROOM.key)
  try {
    const seal = (at: number) => sealing.seal(room + ROOM.nonce, room + ROOM.aad, aad.length, at, plain.length, out)
    const open = (at: number) => opening.open(room + ROOM.nonce, room + ROOM.aad, aad.length, at, sealed.length, out)
    for (const inPlace of [false, true]) {
      if (inPlace) {
        bytes.set(plain, out)
        // By way of another key, as keys of one message come.
        for (const context of [sealing, opening]) for (const at of [ROOM.sealed, ROOM.key]) context.rekey(room + at, key.length)
      }
      if (seal(inPlace ? out : room + ROOM.plain) !== sealed.length || !is(sealed)) return 'does not seal as published'
      if (open(inPlace ? out : room + ROOM.sealed) !== plain.length || !is(plain)) return 'does not open what it should'
      for (const place of [0, plain.length, sealed.length - 1]) {
        bytes[room + ROOM.sealed + place]! ^= 1
        if (open(room + ROOM.sealed) !== -1) return 'opens what was changed'
        bytes[room + ROOM.sealed + place]! ^= 1
      }
    }
  } finally {
    sealing.wipe()
    opening.wipe()
  }
  return undefined
}
