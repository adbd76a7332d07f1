import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { CipherState } from '#shared/noise/cipher-state.ts'
import { type HandshakeOptions, HandshakeState } from '#shared/noise/handshake-state.ts'
import { NoiseError } from '#shared/noise/noise-error.ts'
import { NoiseProtocol } from '#shared/noise/noise-protocol.ts'
import { isOneWay, patternNames } from '#shared/noise/patterns.ts'
import { type ProtocolName, parseProtocolName } from '#shared/noise/protocol-name.ts'
import { underBoth } from './both-providers.ts'
import { type Fields, hexField, isFields, isFieldsArray, optionalHex, optionalText, textField } from './fields.ts'
import { rememberingSuite } from './remembering-suite.ts'
import { BrokenFormat, type Verdicts } from './verdict.ts'

/** cacophony, snow and noise-c: `{vectors: [{protocol_name | name, init_…, resp_…, messages: [{payload, ciphertext}], handshake_hash?}]}`. */
export function recognises(_path: string, contents: unknown): boolean {
  return (
    isFields(contents) && isFieldsArray(contents.vectors) && contents.vectors.every((vector) => isFieldsArray(vector.messages))
  )
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.vectors)) throw new BrokenFormat(`${path} has no vectors`)
  for (const [index, vector] of contents.vectors.entries()) {
    const name = optionalText(vector, 'protocol_name', 'name')
    const id = `${index} ${name ?? '(no name)'}`
    if (name === undefined) verdicts.fail(path, id, 'the vector names no protocol')
    else {
      const reason = outsideProfile(name)
      if (reason !== undefined) verdicts.skip(reason)
      else verdicts.settle(path, id, () => underBoth((suite) => replay(rememberingSuite(suite), vector, name)))
    }
  }
}

const ciphers = ['ChaChaPoly', 'AESGCM']
const hashes = ['SHA256', 'SHA512', 'BLAKE2s', 'BLAKE2b']

/** Why a protocol is not ours; undefined for one that we must speak. */
function outsideProfile(text: string): string | undefined {
  if (text.startsWith('NoisePSK_')) return 'NoisePSK_ names are of a revision before 33'
  let name: ProtocolName
  try {
    name = parseProtocolName(text)
  } catch {
    return undefined // judged, and failed by the constructor
  }
  if (name.dh !== '25519') return `DH function ${name.dh} is not in our Noise`
  if (!ciphers.includes(name.cipher)) return `cipher ${name.cipher} is not in our Noise`
  if (!hashes.includes(name.hash)) return `hash ${name.hash} is not in our Noise`
  if (!patternNames.includes(name.pattern)) return `pattern ${name.pattern} is not in revision 34`
  const foreign = name.modifiers.find((modifier) => modifier !== 'fallback' && !/^psk\d$/.test(modifier))
  return foreign && `modifier ${foreign} is not in revision 34`
}

interface Party {
  handshake: HandshakeState
  send: CipherState | undefined
  receive: CipherState | undefined
}

/** Runs both sides with the vector's keys and compares every byte. */
function replay(suite: Suite, vector: Fields, name: string): string | undefined {
  const messages = vector.messages
  if (!isFieldsArray(messages)) return 'the vector has no messages'
  const fallsBack = vector.fallback === true
  const first = fallsBack ? name.replace(/^Noise_[A-Za-z0-9+]+_/, `Noise_${textField(vector, 'pattern')}_`) : name
  const alice: Party = {
    handshake: new HandshakeState(options(suite, vector, 'init', first)),
    send: undefined,
    receive: undefined,
  }
  const bob: Party = { handshake: new HandshakeState(options(suite, vector, 'resp', first)), send: undefined, receive: undefined }
  const oneWay = isOneWay(alice.handshake.pattern)

  for (const [index, message] of messages.entries()) {
    const payload = hexField(message, 'payload')
    const ciphertext = hexField(message, 'ciphertext')
    const [writer, reader] = oneWay || index % 2 === 0 ? [alice, bob] : [bob, alice]
    const written = write(writer, payload)
    if (!equalPublic(written, ciphertext)) return `message ${index} became ${toHex(written)}`
    const mustFail = (fallsBack && index === 0) || (vector.fail === true && index === messages.length - 1)
    if (mustFail) {
      const code = refusal(() => read(reader, ciphertext))
      if (code !== 'decrypt') return `message ${index} must fail to authenticate, but ${code ?? 'was taken'}`
      if (fallsBack) fallBack(suite, vector, name, alice, bob, ciphertext)
      continue
    }
    const opened = read(reader, ciphertext)
    if (!equalPublic(opened, payload)) return `message ${index} opened to ${toHex(opened)}`
    if (alice.send === undefined && alice.handshake.complete) split(alice, bob, fallsBack)
  }
  if (!alice.handshake.complete || !bob.handshake.complete) return 'the messages end before the handshake does'
  const stated = optionalHex(vector, 'handshake_hash')
  for (const party of [alice, bob])
    if (stated !== undefined && !equalPublic(party.handshake.getHandshakeHash(), stated)) return 'the handshake hash is another'
  return undefined
}

function options(suite: Suite, vector: Fields, side: 'init' | 'resp', protocol: string): HandshakeOptions {
  const pairOf = (field: string): KeyPair | undefined => {
    const secret = optionalHex(vector, `${side}_${field}`)
    return secret && suite.x25519.pair(secret)
  }
  const s = pairOf('static')
  const ephemeral = pairOf('ephemeral')
  const rs = optionalHex(vector, `${side}_remote_static`)
  const psks = psksOf(vector, side)
  return {
    protocol: new NoiseProtocol(suite, protocol, optionalHex(vector, `${side}_prologue`)),
    initiator: side === 'init',
    ...(s && { s }),
    ...(rs && { rs }),
    ...(psks && { psks }),
    // A copy each time: a handshake wipes the ephemeral that it made.
    ...(ephemeral && {
      generateEphemeral: () => ({ publicKey: ephemeral.publicKey.slice(), privateKey: ephemeral.privateKey.slice() }),
    }),
  }
}

function psksOf(vector: Fields, side: 'init' | 'resp'): Uint8Array[] | undefined {
  const list = vector[`${side}_psks`]
  if (Array.isArray(list)) return list.map((psk) => fromHex(String(psk)))
  const single = optionalHex(vector, `${side}_psk`)
  return single && [single]
}

/** Noise rev 34 §10.2: Alice's ephemeral, sent in vain, becomes a pre-message. */
function fallBack(suite: Suite, vector: Fields, name: string, alice: Party, bob: Party, lost: Uint8Array): void {
  const ephemeral = suite.x25519.pair(hexField(vector, 'init_ephemeral'))
  const { rs: _, ...aliceOptions } = options(suite, vector, 'init', name)
  const { rs: __, ...bobOptions } = options(suite, vector, 'resp', name)
  alice.handshake = new HandshakeState({ ...aliceOptions, e: ephemeral })
  bob.handshake = new HandshakeState({ ...bobOptions, re: lost.subarray(0, suite.x25519.publicKeyLength) })
}

/** After a fallback Bob is the initiator, so the first cipher is his. */
function split(alice: Party, bob: Party, fallsBack: boolean): void {
  const [aliceFirst, aliceSecond] = alice.handshake.split()
  const [bobFirst, bobSecond] = bob.handshake.split()
  alice.send = fallsBack ? aliceSecond : aliceFirst
  alice.receive = fallsBack ? aliceFirst : aliceSecond
  bob.send = fallsBack ? bobFirst : bobSecond
  bob.receive = fallsBack ? bobSecond : bobFirst
}

const noAd = new Uint8Array(0)

const write = (party: Party, payload: Uint8Array): Uint8Array =>
  party.send ? party.send.encryptWithAd(noAd, payload) : party.handshake.writeMessage(payload)

const read = (party: Party, message: Uint8Array): Uint8Array =>
  party.receive ? party.receive.decryptWithAd(noAd, message) : party.handshake.readMessage(message)

function refusal(attempt: () => unknown): string | undefined {
  try {
    attempt()
    return undefined
  } catch (error) {
    return error instanceof NoiseError ? error.code : `threw ${String(error)}`
  }
}
