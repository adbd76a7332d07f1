import { fromHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'

/** Bytes of the shortest pre-shared key: 128 bits. */
export const sharedSecretLength = 16

/**
 * A pre-shared key as swanctl.conf writes it: `0x…` in hex, `0s…` in base64, anything else as its UTF-8 bytes. Throws AditError
 * `config-invalid`, which never says a character of it, where it has fewer than 128 bits: whoever records one handshake may guess at a
 * short one for as long as they like.
 */
export function parseSharedSecret(text: string): Uint8Array {
  const secret = bytesOf(text)
  if (secret === undefined) throw invalid('cannot be read as the hex or base64 that it begins as')
  if (secret.length < sharedSecretLength) throw invalid(`has ${secret.length * 8} bits; 128 are the least`)
  return secret
}

function bytesOf(text: string): Uint8Array | undefined {
  const digits = text.slice(2)
  if (text.startsWith('0x')) return /^([0-9a-fA-F]{2})+$/.test(digits) ? fromHex(digits) : undefined
  if (text.startsWith('0s'))
    return /^[A-Za-z0-9+/]+={0,2}$/.test(digits) ? Uint8Array.from(Buffer.from(digits, 'base64')) : undefined
  return Uint8Array.from(Buffer.from(text, 'utf8'))
}

const invalid = (why: string): AditError =>
  new AditError('config-invalid', `The pre-shared key ${why}.`, 'Make one with `echo 0x$(openssl rand -hex 32)`.')
