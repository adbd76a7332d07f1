import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { CryptoError, type KeyPair } from '#shared/crypto/suite.ts'
import { type HandshakeOptions, HandshakeState } from '#shared/noise/handshake-state.ts'
import { NoiseProtocol } from '#shared/noise/noise-protocol.ts'
import { handshakePattern, isOneWay, patternNames } from '#shared/noise/patterns.ts'

const suite = nativeSuite
const { x25519 } = suite
const alice = x25519.generate()
const bob = x25519.generate()
const psk = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
const wireguard = 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'
const wireguardProtocol = new NoiseProtocol(suite, wireguard)
const payload = new TextEncoder().encode('payload')
const nothing = new Uint8Array(0)

type Options = Partial<Omit<HandshakeOptions, 'protocol'>>

function both(name: string, options: Options = {}, prologue?: Uint8Array): [HandshakeState, HandshakeState] {
  const protocol = new NoiseProtocol(suite, name, prologue)
  const shared = { protocol, psks: name.includes('psk') ? [psk] : [], ...options }
  return [
    new HandshakeState({ ...shared, initiator: true, s: alice, rs: bob.publicKey }),
    new HandshakeState({ ...shared, initiator: false, s: bob, rs: alice.publicKey }),
  ]
}

for (const name of patternNames) {
  test(`${name}: both sides finish with one hash and crossed ciphers`, () => {
    const [a, b] = both(`Noise_${name}_25519_ChaChaPoly_BLAKE2s`, {}, Uint8Array.of(1))
    while (!a.complete) {
      const [writer, reader] = a.myTurn ? [a, b] : [b, a]
      assert.ok(!reader.myTurn)
      assert.deepEqual(reader.readMessage(writer.writeMessage(payload)), payload)
    }
    assert.ok(b.complete)
    assert.deepEqual(a.getHandshakeHash(), b.getHandshakeHash())
    const [aFirst, aSecond] = a.split()
    const [bFirst, bSecond] = b.split()
    assert.deepEqual(bFirst.decryptWithAd(nothing, aFirst.encryptWithAd(nothing, payload)), payload)
    if (isOneWay(handshakePattern(name, [])))
      assert.ok(!aSecond.hasKey() && !bSecond.hasKey(), 'the second cipher must not be used')
    else assert.deepEqual(aSecond.exportKey(), bSecond.exportKey())
  })
}

test('IKpsk2: the responder learns who asks, and may bring the PSK after the first message', () => {
  const [a] = both(wireguard)
  const b = new HandshakeState({ protocol: wireguardProtocol, initiator: false, s: bob })
  b.readMessage(a.writeMessage(payload))
  assert.deepEqual(b.remoteStatic, alice.publicKey)
  assert.throws(() => b.writeMessage(nothing), { name: 'NoiseError', code: 'missing' })
  assert.throws(() => b.setPsk(1, psk), { code: 'missing' })
  assert.throws(() => b.setPsk(0, psk.subarray(1)), { code: 'missing' })
  b.setPsk(0, psk)
  a.readMessage(b.writeMessage(nothing))
  assert.deepEqual(a.getHandshakeHash(), b.getHandshakeHash())
})

test('a wrong PSK, prologue or remote key is refused, and the state waits for the right message', () => {
  const [a, b] = both(wireguard)
  const wrongPsk = both(wireguard, { psks: [new Uint8Array(32)] })
  const first = a.writeMessage(payload)
  b.readMessage(first)
  wrongPsk[1].readMessage(first)
  assert.throws(() => a.readMessage(wrongPsk[1].writeMessage(nothing)), { code: 'decrypt' })
  a.readMessage(b.writeMessage(nothing))
  assert.ok(a.complete)

  const stranger = new HandshakeState({
    protocol: wireguardProtocol,
    initiator: true,
    s: alice,
    rs: alice.publicKey,
    psks: [psk],
  })
  const [, c] = both(wireguard)
  assert.throws(() => c.readMessage(stranger.writeMessage(payload)), { code: 'decrypt' })
  const [, otherPrologue] = both(wireguard, {}, Uint8Array.of(1))
  assert.throws(() => otherPrologue.readMessage(first), { code: 'decrypt' })
})

test('a forged or cut message leaves the reader as it was, wherever it is broken', () => {
  for (const protocol of [wireguard, 'Noise_XX_25519_AESGCM_SHA512']) {
    const [a, b] = both(protocol)
    while (!a.complete) {
      const [writer, reader] = a.myTurn ? [a, b] : [b, a]
      const message = writer.writeMessage(payload)
      const before = { hash: reader.getHandshakeHash(), rs: reader.remoteStatic, re: reader.remoteEphemeral }
      for (let length = 0; length < message.length; length += 3) refused(reader, message.subarray(0, length), protocol)
      for (let at = 0; at < message.length; at += 5) {
        const forged = message.slice()
        forged[at] = (forged[at] as number) ^ 0x10
        refused(reader, forged, protocol)
      }
      assert.deepEqual({ hash: reader.getHandshakeHash(), rs: reader.remoteStatic, re: reader.remoteEphemeral }, before)
      assert.deepEqual(reader.readMessage(message), payload)
    }
    assert.deepEqual(a.getHandshakeHash(), b.getHandshakeHash())
  }
})

/** XX sends its first message in the clear: there only a missing key is an error, and a step that succeeds must not be tried. */
function refused(reader: HandshakeState, message: Uint8Array, protocol: string): void {
  const inTheClear = protocol.includes('XX') && reader.remoteEphemeral === undefined && reader.localEphemeral === undefined
  if (inTheClear && message.length >= 32) return
  assert.throws(() => reader.readMessage(message), { name: 'NoiseError' })
}

test('A-15 a low-order ephemeral or static key aborts the step: nothing is written, nothing learnt', () => {
  const [a, b] = both(wireguard)
  const zero = new Uint8Array(32)
  const message = a.writeMessage(payload)
  message.set(zero)
  const hash = b.getHandshakeHash()
  assert.throws(() => b.readMessage(message), { name: 'NoiseError', code: 'public-key' })
  assert.equal(b.remoteEphemeral, undefined)
  assert.deepEqual(b.getHandshakeHash(), hash)

  const towardsZero = new HandshakeState({ protocol: wireguardProtocol, initiator: true, s: alice, rs: zero, psks: [psk] })
  assert.throws(() => towardsZero.writeMessage(payload), { code: 'public-key' })
  assert.equal(towardsZero.localEphemeral, undefined)
  assert.ok(towardsZero.myTurn, 'the state is as before')
})

test('a write that fails midway is undone, its ephemeral wiped, and a later write starts afresh', () => {
  const made: KeyPair[] = []
  const generateEphemeral = () => {
    made.push(x25519.generate())
    return made.at(-1) as KeyPair
  }
  let broken = true
  const flaky = {
    ...suite,
    x25519: {
      ...x25519,
      shared(pair: KeyPair, key: Uint8Array) {
        if (broken && pair === alice) throw new CryptoError('low-order', 'made to fail at ss')
        return x25519.shared(pair, key)
      },
    },
  }
  const a = new HandshakeState({
    protocol: new NoiseProtocol(flaky, wireguard),
    initiator: true,
    s: alice,
    rs: bob.publicKey,
    psks: [psk],
    generateEphemeral,
  })
  const [, b] = both(wireguard)
  const hash = a.getHandshakeHash()
  assert.throws(() => a.writeMessage(payload), { code: 'public-key' })
  assert.deepEqual(a.getHandshakeHash(), hash)
  assert.deepEqual(made[0]?.privateKey, new Uint8Array(32))
  broken = false
  assert.deepEqual(b.readMessage(a.writeMessage(payload)), payload)
  assert.deepEqual(a.localEphemeral, made[1]?.publicKey)
})

test('staticStatic spares the agreement, and may end the step before it', () => {
  let agreements = 0
  const counting = {
    ...suite,
    x25519: {
      ...x25519,
      shared(pair: KeyPair, key: Uint8Array) {
        agreements++
        return x25519.shared(pair, key)
      },
    },
  }
  const ss = x25519.shared(bob, alice.publicKey)
  const [a] = both(wireguard)
  const message = a.writeMessage(payload)
  const responder = (staticStatic: HandshakeOptions['staticStatic']) =>
    new HandshakeState({
      protocol: new NoiseProtocol(counting, wireguard),
      initiator: false,
      s: bob,
      psks: [psk],
      ...(staticStatic && { staticStatic }),
    })
  const known = responder((rs) => {
    assert.deepEqual(rs, alice.publicKey)
    return ss
  })
  known.readMessage(message)
  assert.equal(agreements, 1)
  assert.notDeepEqual(ss, new Uint8Array(32), 'the caller keeps its secret')
  agreements = 0
  responder(() => undefined).readMessage(message)
  assert.equal(agreements, 2)
  agreements = 0
  const refusing = responder(() => {
    throw new RangeError('not admitted')
  })
  assert.throws(() => refusing.readMessage(message), RangeError)
  assert.equal(agreements, 1)
  assert.equal(refusing.remoteStatic, undefined)
})

test('turns are kept, and a finished handshake is finished', () => {
  const [a, b] = both(wireguard)
  assert.throws(() => a.readMessage(nothing), { code: 'turn' })
  assert.throws(() => b.writeMessage(nothing), { code: 'turn' })
  assert.throws(() => a.split(), { code: 'turn' })
  b.readMessage(a.writeMessage(nothing))
  a.readMessage(b.writeMessage(nothing))
  for (const side of [a, b]) {
    assert.ok(!side.myTurn)
    assert.throws(() => side.writeMessage(nothing), { code: 'turn' })
    assert.throws(() => side.readMessage(nothing), { code: 'turn' })
  }
})

test('split wipes the ephemeral and leaves the static pair and the hash', () => {
  const ephemeral = x25519.generate()
  const [a, b] = both(wireguard, { generateEphemeral: () => ephemeral })
  b.readMessage(a.writeMessage(nothing))
  const hash = a.getHandshakeHash()
  a.wipe()
  assert.deepEqual(ephemeral.privateKey, new Uint8Array(32))
  assert.notDeepEqual(alice.privateKey, new Uint8Array(32))
  assert.deepEqual(a.getHandshakeHash(), hash)
})

test('keys that the pre-messages name must be given, and a protocol that is not ours is refused', () => {
  assert.throws(() => new HandshakeState({ protocol: wireguardProtocol, initiator: true, s: alice }), { code: 'missing' })
  assert.throws(() => new HandshakeState({ protocol: wireguardProtocol, initiator: false }), { code: 'missing' })
  for (const protocol of [
    'Noise_XX_448_ChaChaPoly_BLAKE2s',
    'Noise_XX_25519_XChaChaPoly_BLAKE2s',
    'Noise_XX_25519_ChaChaPoly_SHA3',
  ])
    assert.throws(() => new NoiseProtocol(suite, protocol), { code: 'name' })
})

test('a message of more than 65535 bytes is neither written nor read', () => {
  const [a, b] = both('Noise_NN_25519_ChaChaPoly_BLAKE2s')
  assert.throws(() => a.writeMessage(new Uint8Array(65535)), { code: 'long' })
  assert.throws(() => b.readMessage(new Uint8Array(65536)), { code: 'long' })
  assert.equal(b.readMessage(a.writeMessage(new Uint8Array(65535 - 32))).length, 65535 - 32)
})
