import { leastSecretBytes, mostSecretBytes } from '#broker/registry/ipsec-peers.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'

/** A pre-shared key: the bytes that IKE computes with, and the text that stands for them in configuration files. */
export interface PeerSecret {
  readonly bytes: Uint8Array
  readonly text: string
}

/** Random bytes behind a secret that we make: 256 bits. */
const madeBytes = 32
/** 128 bits of printable text, which has at most 6.6 a character. */
const leastCharacters = 20
/** Fewer different bytes than this are no random ones. */
const leastDifferent = 8

/**
 * Letters, digits, `-` and `_`: any router's form takes it, and IKE computes with the characters themselves. None begins with a digit or a sign:
 * `0x`, `0s` and `0t` announce numbers to strongSwan and libreswan, `-` an option to a shell.
 */
export function makeSecret(suite: Pick<Suite, 'random'>): PeerSecret {
  let text: string
  do text = Buffer.from(suite.random(madeBytes)).toString('base64url')
  while (!/^[A-Za-z]/.test(text))
  return { bytes: new Uint8Array(Buffer.from(text, 'latin1')), text }
}

/** `text`: printable characters, or `0x` and hex. Throws AditError `usage`, whose message never shows it. */
export function readSecret(what: string, text: string): PeerSecret {
  const line = text.replace(/\r?\n$/, '')
  const hex = /^0x((?:[0-9a-f]{2})+)$/i.exec(line)?.[1]
  const bytes = hex === undefined ? new Uint8Array(Buffer.from(line, 'latin1')) : fromHex(hex.toLowerCase())
  // What swanctl would read as a number must be one; quotes and backslashes mean other things in other files.
  if (hex === undefined && (!/^[\x20-\x7e]*$/.test(line) || /["\\]|^0[xs]|^\s|\s$/i.test(line))) {
    throw refused(
      what,
      'has characters that not every configuration file can hold',
      'Write it in hex behind 0x, or have one made',
    )
  }
  const short = hex === undefined ? line.length < leastCharacters : bytes.length < leastSecretBytes
  if (short || line.length > mostSecretBytes * 2 || bytes.length > mostSecretBytes) {
    throw refused(
      what,
      `is too ${short ? 'short' : 'long'}: 128 bits are the least`,
      `Give ${leastCharacters} random characters or 32 hex digits behind 0x, or have one made`,
    )
  }
  if (new Set(bytes).size < leastDifferent) throw refused(what, 'is not random', 'Have one made')
  return { bytes, text: line }
}

const refused = (what: string, why: string, mend: string): AditError =>
  new AditError('usage', `The ${what} ${why}.`, `${mend}: generate.`)
