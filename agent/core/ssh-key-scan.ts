/**
 * Asks an SSH server for one of its host keys (RFC 4253 §4.2, §7; RFC 5656 §4; RFC 8731): version lines, KEXINIT with a single host
 * key algorithm, the first message of a curve25519-sha256 exchange, and the answer, whose first field is the key. No session follows:
 * the connection is then closed. The server is one on this machine, so its signature is not checked.
 *
 *   C: SSH-2.0-adit   S: SSH-2.0-…   C: KEXINIT   S: KEXINIT   C: ECDH_INIT (Q_C)   S: ECDH_REPLY (K_S, Q_S, signature)
 */
import type { Suite } from '#shared/crypto/suite.ts'

/** The kinds of key asked for, each in a connection of its own. Names of the key, and of the signature that brings it. */
export const hostKeyKinds = [
  { key: 'ssh-ed25519', signature: 'ssh-ed25519' },
  { key: 'ecdsa-sha2-nistp256', signature: 'ecdsa-sha2-nistp256' },
  { key: 'ssh-rsa', signature: 'rsa-sha2-512' },
] as const
export type HostKeyKind = (typeof hostKeyKinds)[number]

const VERSION_LINE = 'SSH-2.0-adit\r\n'
const MSG_DISCONNECT = 1
const MSG_KEXINIT = 20
const MSG_KEX_ECDH_INIT = 30
const MSG_KEX_ECDH_REPLY = 31
/** Longest banner and version line together, and longest packet (RFC 4253 §6.1), bytes. */
const PREFACE_LIMIT = 8192
const PACKET_LIMIT = 35_000

const lists = (signature: string): readonly string[] => [
  'curve25519-sha256,curve25519-sha256@libssh.org',
  signature,
  'aes128-ctr,aes256-ctr,chacha20-poly1305@openssh.com',
  'aes128-ctr,aes256-ctr,chacha20-poly1305@openssh.com',
  'hmac-sha2-256,hmac-sha2-512',
  'hmac-sha2-256,hmac-sha2-512',
  'none',
  'none',
  '',
  '',
]

export type ScanResult =
  /** An OpenSSH public key line without comment. */
  | { kind: 'key'; line: string }
  /** The server speaks SSH but has no key of this kind. */
  | { kind: 'none' }
  /** It speaks something else. */
  | { kind: 'not-ssh'; why: string }

/** One connection's worth of asking: give it what arrives, send what it returns, stop at its result. */
export class SshKeyScan {
  readonly #suite: Suite
  readonly #wanted: HostKeyKind
  #buffer: Uint8Array = new Uint8Array(0)
  #greeted = false
  #result: ScanResult | undefined

  constructor(suite: Suite, wanted: HostKeyKind) {
    this.#suite = suite
    this.#wanted = wanted
  }

  get result(): ScanResult | undefined {
    return this.#result
  }

  /** What to send as soon as the connection stands. */
  hello(): Uint8Array {
    return Buffer.concat([Buffer.from(VERSION_LINE), this.#packet(this.#kexInit())])
  }

  /** Bytes that arrived; returns bytes to send. Never throws. */
  receive(chunk: Uint8Array): Uint8Array {
    this.#buffer = Buffer.concat([this.#buffer, chunk])
    const out: Uint8Array[] = []
    if (!this.#greeted) this.#readVersion()
    for (let payload = this.#nextPacket(); payload !== undefined; payload = this.#nextPacket()) {
      const reply = this.#handle(payload)
      if (reply) out.push(this.#packet(reply))
    }
    return Buffer.concat(out)
  }

  /** The connection ended. A server without a common algorithm closes, with or without a word. */
  ended(): ScanResult {
    this.#result ??= this.#greeted ? { kind: 'none' } : { kind: 'not-ssh', why: 'it closed without a version line' }
    return this.#result
  }

  /** Lines before the version line are allowed (RFC 4253 §4.2). */
  #readVersion(): void {
    for (let end = this.#buffer.indexOf(10); end >= 0; end = this.#buffer.indexOf(10)) {
      const line = Buffer.from(this.#buffer.subarray(0, end)).toString('latin1')
      this.#buffer = this.#buffer.subarray(end + 1)
      if (!line.startsWith('SSH-')) continue
      if (line.startsWith('SSH-2.0-') || line.startsWith('SSH-1.99-')) this.#greeted = true
      else this.#result = { kind: 'not-ssh', why: 'it speaks SSH 1 only' }
      return
    }
    if (this.#buffer.length > PREFACE_LIMIT) this.#result = { kind: 'not-ssh', why: 'it sends no version line' }
  }

  /** The payload of the next whole packet, before encryption begins: length(4) padding(1) payload padding. */
  #nextPacket(): Uint8Array | undefined {
    if (!this.#greeted || this.#result || this.#buffer.length < 5) return undefined
    const length = view(this.#buffer).getUint32(0)
    const padding = this.#buffer[4]!
    if (length > PACKET_LIMIT || length < padding + 2) {
      this.#result = { kind: 'not-ssh', why: 'it sends a malformed packet' }
      return undefined
    }
    if (this.#buffer.length < 4 + length) return undefined
    const payload = this.#buffer.subarray(5, 4 + length - padding)
    this.#buffer = this.#buffer.subarray(4 + length)
    return payload
  }

  #handle(payload: Uint8Array): Uint8Array | undefined {
    switch (payload[0]) {
      case MSG_KEXINIT:
        return concatenate(Uint8Array.of(MSG_KEX_ECDH_INIT), string(this.#suite.x25519.generate().publicKey))
      case MSG_KEX_ECDH_REPLY:
        this.#result = this.#keyIn(payload)
        return undefined
      case MSG_DISCONNECT:
        this.#result = { kind: 'none' }
        return undefined
      default:
        return undefined
    }
  }

  #keyIn(payload: Uint8Array): ScanResult {
    const blob = readString(payload, 1)
    const name = blob && readString(blob, 0)
    if (!blob || !name || Buffer.from(name).toString('latin1') !== this.#wanted.key) return { kind: 'none' }
    return { kind: 'key', line: `${this.#wanted.key} ${Buffer.from(blob).toString('base64')}` }
  }

  #kexInit(): Uint8Array {
    const names = lists(this.#wanted.signature).map((list) => string(Buffer.from(list)))
    return concatenate(Uint8Array.of(MSG_KEXINIT), this.#suite.random(16), ...names, new Uint8Array(5))
  }

  /** RFC 4253 §6: padding of at least 4 bytes to a multiple of 8. */
  #packet(payload: Uint8Array): Uint8Array {
    const padding = 8 - ((payload.length + 5) % 8) + (8 - ((payload.length + 5) % 8) < 4 ? 8 : 0)
    const packet = new Uint8Array(5 + payload.length + padding)
    view(packet).setUint32(0, 1 + payload.length + padding)
    packet[4] = padding
    packet.set(payload, 5)
    packet.set(this.#suite.random(padding), 5 + payload.length)
    return packet
  }
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const concatenate = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

function string(content: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + content.length)
  view(out).setUint32(0, content.length)
  out.set(content, 4)
  return out
}

function readString(bytes: Uint8Array, at: number): Uint8Array | undefined {
  if (bytes.length < at + 4) return undefined
  const end = at + 4 + view(bytes).getUint32(at)
  return end <= bytes.length ? bytes.subarray(at + 4, end) : undefined
}
