import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { DropReason } from '#shared/drop-reason.ts'
import { cryptoFunctions, hkdf2 } from '#shared/noise/crypto-functions.ts'
import { parseProtocolName } from '#shared/noise/protocol-name.ts'
import { instant } from '#shared/time/instant.ts'
import { LocalIdentity, NO_PSK, readInitiation, readResponse, splitKeys, writeInitiation } from '#shared/tunnel/handshake.ts'
import { CONSTRUCTION } from '#shared/tunnel/wireguard-constants.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { decodeResponse } from '#shared/wire/wireguard-response.ts'
import { providers } from '../both-providers.ts'
import { type Fields, hexField, isFields, isFieldsArray, optionalHex, optionalText, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { dataFrames, judgeFrame } from './transport.ts'

/**
 * Recorded handshakes with all private keys: `{staticPrivateInitiator, staticPrivateResponder, handshakes: [{timestamp, psk,
 * ephemeralPrivate…, …Index, …Frame, derived values}], frames: [{frame, hex, counter?, plaintext?}]}`. Our endpoints, given the same
 * keys, indices and timestamps, must send the same bytes; then every data message must open and seal alike.
 */
export const recognises = (_path: string, contents: unknown): boolean =>
  isFields(contents) && isFieldsArray(contents.handshakes) && isFieldsArray(contents.frames)

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.handshakes) || !isFieldsArray(contents.frames))
    throw new BrokenFormat(`${path} has no handshakes and frames`)
  const keys: string[] = []
  for (const [index, handshake] of contents.handshakes.entries()) {
    const judgements: Record<string, (c: Case) => string | undefined> = { initiation, response, 'derived values': derived }
    for (const [what, judgement] of Object.entries(judgements))
      verdicts.settle(path, `handshake ${index}, ${what}`, () => {
        for (const suite of providers) {
          const complaint = judgement(caseOf(suite, contents, handshake))
          if (complaint !== undefined) return `${suite.name}: ${complaint}`
        }
        return undefined
      })
    keys.push(...transportKeys(caseOf(providers[0]!, contents, handshake)))
  }
  for (const [index, frame] of dataFrames(contents.frames).entries())
    verdicts.settle(path, `frame ${frame.frame ?? index}`, () => judgeFrame(frame, keys))
}

interface Case {
  suite: Suite
  handshake: Fields
  initiator: KeyPair
  responder: KeyPair
  initiation: Uint8Array
  response: Uint8Array
  psk: Uint8Array
  ephemeralInitiator: KeyPair
  ephemeralResponder: KeyPair
}

function caseOf(suite: Suite, file: Fields, handshake: Fields): Case {
  const pairOf = (fields: Fields, ...names: string[]): KeyPair => suite.x25519.pair(hexField(fields, ...names))
  const statics = [pairOf(file, 'staticPrivateInitiator'), pairOf(file, 'staticPrivateResponder')] as const
  // Either side of the recording may have begun this handshake.
  const isSwapped = optionalText(handshake, 'initiatorStatic')?.startsWith('staticPrivateResponder') === true
  const [initiator, responder] = isSwapped ? [statics[1], statics[0]] : statics
  return {
    suite,
    handshake,
    initiator,
    responder,
    initiation: frameOf(file, handshake, 'initiationFrame'),
    response: frameOf(file, handshake, 'responseFrame'),
    psk: optionalHex(handshake, 'psk') ?? optionalHex(file, 'psk') ?? NO_PSK,
    ephemeralInitiator: pairOf(handshake, 'ephemeralPrivateInitiator'),
    ephemeralResponder: pairOf(handshake, 'ephemeralPrivateResponder'),
  }
}

function frameOf(file: Fields, handshake: Fields, name: string): Uint8Array {
  const frames = file.frames as readonly Fields[]
  const frame = frames.find((candidate) => candidate.frame === handshake[name])
  if (frame === undefined) throw new TypeError(`the file has no frame ${String(handshake[name])}`)
  return fromHex(textField(frame, 'hex'))
}

/** A whole endpoint whose dice fall as recorded: its ephemeral key and the index that it picks. Returns what it sends, in order. */
function endpoint(
  c: Case,
  own: KeyPair,
  ephemeral: KeyPair,
  index: Uint8Array,
): { endpoint: WireguardEndpoint; sent: Uint8Array[] } {
  const sent: Uint8Array[] = []
  const copy: KeyPair = { publicKey: ephemeral.publicKey, privateKey: ephemeral.privateKey.slice() }
  const made = new WireguardEndpoint({
    suite: {
      ...c.suite,
      random: (length) => (length === 4 ? index : c.suite.random(length)),
      x25519: { ...c.suite.x25519, generate: () => copy },
    },
    staticKey: own,
    nextTimestamp: () => hexField(c.handshake, 'timestamp'),
    ports: { transmit: (datagram) => sent.push(datagram.slice()), event: () => {} },
  })
  return { endpoint: made, sent }
}

const somewhere = { address: '192.0.2.1', port: 1 }

function initiation(c: Case): string | undefined {
  const { endpoint: alice, sent } = endpoint(c, c.initiator, c.ephemeralInitiator, c.initiation.subarray(4, 8))
  const bob = alice.addPeer({ publicKey: c.responder.publicKey, psk: c.psk, endpoint: somewhere }, instant(0))
  alice.initiate(bob, instant(0))
  return compare(sent[0], c.initiation)
}

function response(c: Case): string | undefined {
  const { endpoint: bob, sent } = endpoint(c, c.responder, c.ephemeralResponder, c.response.subarray(4, 8))
  bob.addPeer({ publicKey: c.initiator.publicKey, psk: c.psk }, instant(0))
  const verdict = bob.handleControl(c.initiation, somewhere, instant(0))
  return verdict < 0 ? `the initiation was refused (${verdict})` : compare(sent[0], c.response)
}

/** Bit for bit; of a mac2 that was made with a cookie nobody recorded, only the rest. */
function compare(made: Uint8Array | undefined, recorded: Uint8Array): string | undefined {
  if (made === undefined) return 'nothing was sent'
  const end = recorded.subarray(-16).every((byte) => byte === 0) ? recorded.length : recorded.length - 16
  return equalPublic(made.subarray(0, end), recorded.subarray(0, end)) ? undefined : `it became ${toHex(made)}`
}

function derived(c: Case): string | undefined {
  const bob = new LocalIdentity(c.suite, c.responder)
  const opened = readInitiation(bob, c.initiation, (publicKey) => ({ keys: { staticShared: bob.staticShared(publicKey) } }))
  if (typeof opened === 'number') return `the initiation was refused (${opened})`
  const finished = finish(c)
  if (typeof finished === 'number') return `the response was refused (${finished})`
  const { hash, keys } = finished
  const found: Record<string, Uint8Array | undefined> = {
    timestamp: opened.timestamp,
    handshakeHash: hash,
    initiatorSendKey: keys[0],
    initiatorRecvKey: keys[1],
    initiatorIndex: c.initiation.subarray(4, 8),
    responderIndex: c.response.subarray(4, 8),
  }
  for (const [name, value] of Object.entries(found)) {
    const stated = optionalText(c.handshake, name)?.toLowerCase()
    if (stated !== undefined && (value === undefined || toHex(value) !== stated)) return `${name} became ${value && toHex(value)}`
  }
  return wrongChainingKey(c, keys)
}

/** The chaining key dies inside Split; the stated one is ours if it splits into our keys. */
function wrongChainingKey(c: Case, keys: readonly Uint8Array[]): string | undefined {
  const stated = optionalHex(c.handshake, 'chainingKey')
  if (stated === undefined) return undefined
  const split = hkdf2(cryptoFunctions(c.suite, parseProtocolName(CONSTRUCTION)), stated, new Uint8Array(0))
  return split.every((key, at) => equalPublic(key, keys[at]!)) ? undefined : 'chainingKey is another'
}

/** After the recorded response, as the initiator has it: the handshake hash, and the keys of both directions. */
function finish(c: Case): { hash: Uint8Array; keys: [Uint8Array, Uint8Array] } | DropReason {
  const { publicKey, privateKey } = c.ephemeralInitiator
  // A copy each time: a handshake wipes the ephemeral that it made.
  const x25519 = { ...c.suite.x25519, generate: () => ({ publicKey, privateKey: privateKey.slice() }) }
  const alice = new LocalIdentity({ ...c.suite, x25519 }, c.initiator)
  const staticShared = c.suite.x25519.shared(c.initiator, c.responder.publicKey)
  const sender = new DataView(c.initiation.buffer, c.initiation.byteOffset).getUint32(4, true)
  const timestamp = hexField(c.handshake, 'timestamp')
  const input = { sender, peer: c.responder.publicKey, staticShared, timestamp }
  const handshake = writeInitiation(alice, input, new Uint8Array(148))!
  const refused = readResponse(handshake, c.psk, decodeResponse(c.response))
  return refused === 0 ? { hash: handshake.getHandshakeHash(), keys: splitKeys(handshake) } : refused
}

function transportKeys(c: Case): string[] {
  const finished = finish(c)
  return typeof finished === 'number' ? [] : finished.keys.map(toHex)
}
