import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import type { AeadAlgorithm, Suite } from '#shared/crypto/suite.ts'
import { HandshakeState } from '#shared/noise/handshake-state.ts'
import { NoiseProtocol } from '#shared/noise/noise-protocol.ts'
import type { BenchRow } from './row.ts'

export const name = 'crypto'

/** A packet that fills an outer datagram. */
const packetLength = 1400
/** Each figure is the best of so many rounds: what the code costs, not what the machine's other tenants do. */
const rounds = 7

interface Figure {
  figure: string
  bar?: string
  /** How often in one round, for native; noble runs a tenth. */
  times: number
  prepare(suite: Suite): () => unknown
}

const figures: readonly Figure[] = [
  {
    figure: `ChaCha20-Poly1305 seal ${packetLength} B`,
    bar: '<= 8 us',
    times: 5000,
    prepare: (s) => sealing(s, s.chacha20poly1305),
  },
  {
    figure: `ChaCha20-Poly1305 open ${packetLength} B`,
    bar: '<= 8 us',
    times: 5000,
    prepare: (s) => opening(s, s.chacha20poly1305),
  },
  { figure: `AES-256-GCM seal ${packetLength} B`, times: 5000, prepare: (s) => sealing(s, s.aesGcm) },
  { figure: `AES-256-GCM open ${packetLength} B`, times: 5000, prepare: (s) => opening(s, s.aesGcm) },
  {
    figure: 'X25519 shared secret',
    bar: '<= 40 us',
    times: 500,
    prepare(suite) {
      const own = suite.x25519.generate()
      const peer = suite.x25519.generate().publicKey
      return () => suite.x25519.shared(own, peer)
    },
  },
  { figure: 'X25519 key pair', times: 500, prepare: (suite) => () => suite.x25519.generate() },
  {
    figure: 'HMAC-BLAKE2s of 32 B',
    times: 5000,
    prepare(suite) {
      const key = suite.random(32)
      const input = suite.random(32)
      return () => suite.hmac('blake2s', key, input)
    },
  },
  {
    figure: 'BLAKE2s of 64 B',
    times: 5000,
    prepare(suite) {
      const [a, b] = [suite.random(32), suite.random(32)]
      return () => suite.hash('blake2s', a, b)
    },
  },
  {
    figure: 'keyed BLAKE2s-128 of 116 B (mac1)',
    times: 5000,
    prepare(suite) {
      const key = suite.random(32)
      const input = suite.random(116)
      return () => suite.blake2s(16, key, input)
    },
  },
  {
    figure: 'Ed25519 verify',
    times: 300,
    prepare(suite) {
      const pair = suite.ed25519.generate()
      const message = suite.random(200)
      const signature = suite.ed25519.sign(pair, message)
      return () => suite.ed25519.verify(pair.publicKey, message, signature)
    },
  },
  {
    figure: 'ECDSA P-256 verify',
    times: 300,
    prepare(suite) {
      const pair = suite.ecdsaP256.generate()
      const message = suite.random(200)
      const signature = suite.ecdsaP256.sign(pair, message)
      return () => suite.ecdsaP256.verify(pair.publicKey, message, signature)
    },
  },
  { figure: 'Noise IKpsk2, responder: read, write, split', bar: '<= 285 us', times: 200, prepare: respondingIkpsk2 },
]

export async function run(): Promise<BenchRow[]> {
  return figures.map(({ figure, bar, times, prepare }) => {
    const native = microseconds(prepare(nativeSuite), times)
    const noble = microseconds(prepare(nobleSuite), Math.ceil(times / 20))
    return {
      figure: `crypto, native: ${figure}`,
      value: native,
      unit: 'us',
      ...(bar && { bar }),
      beside: `noble ${noble.toPrecision(3)} us`,
    }
  })
}

function microseconds(work: () => unknown, times: number): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < times; i++) work()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / times / 1000)
  }
  return best
}

function sealing(suite: Suite, algorithm: AeadAlgorithm): () => unknown {
  const key = algorithm.key(suite.random(32))
  const nonce = new Uint8Array(algorithm.nonceLength)
  const packet = suite.random(packetLength)
  const out = new Uint8Array(packetLength + algorithm.tagLength)
  return () => key.seal(nonce, undefined, packet, out)
}

function opening(suite: Suite, algorithm: AeadAlgorithm): () => unknown {
  const key = algorithm.key(suite.random(32))
  const nonce = new Uint8Array(algorithm.nonceLength)
  const sealed = new Uint8Array(packetLength + algorithm.tagLength)
  key.seal(nonce, undefined, suite.random(packetLength), sealed)
  const out = new Uint8Array(packetLength)
  return () => {
    if (key.open(nonce, undefined, sealed, out) !== packetLength) throw new Error('the packet did not open')
  }
}

/** A responder that has met this initiator before, so that ss is known: three agreements and one key pair. */
function respondingIkpsk2(suite: Suite): () => unknown {
  const protocol = new NoiseProtocol(suite, 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s')
  const initiator = suite.x25519.generate()
  const responder = suite.x25519.generate()
  const psks = [new Uint8Array(32)]
  const first = new HandshakeState({ protocol, initiator: true, s: initiator, rs: responder.publicKey, psks })
  const message = first.writeMessage(new Uint8Array(12))
  const ss = suite.x25519.shared(responder, initiator.publicKey)
  const nothing = new Uint8Array(0)
  return () => {
    const handshake = new HandshakeState({ protocol, initiator: false, s: responder, psks, staticStatic: () => ss })
    handshake.readMessage(message)
    handshake.writeMessage(nothing)
    handshake.split()
  }
}

if (process.argv[1] === import.meta.filename)
  for (const { figure, value, unit, bar, beside } of await run())
    process.stdout.write(
      `${figure}: ${value.toFixed(2)} ${unit}${bar ? ` (bar ${bar})` : ''}${beside ? `, beside ${beside}` : ''}\n`,
    )
