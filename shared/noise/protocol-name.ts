import { NoiseError } from './noise-error.ts'

/** "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", taken apart (Noise rev 34 §8). */
export interface ProtocolName {
  /** The whole ASCII name: it starts the handshake hash. */
  readonly text: string
  /** Without modifiers: "IK". */
  readonly pattern: string
  /** In order: ["psk2"]. */
  readonly modifiers: readonly string[]
  /** "25519". */
  readonly dh: string
  /** "ChaChaPoly". */
  readonly cipher: string
  /** "BLAKE2s". */
  readonly hash: string
}

/** At most 255 bytes (§8). */
const maxLength = 255

/** Takes any well-formed name apart, known algorithms or not. Throws NoiseError `name`. */
export function parseProtocolName(text: string): ProtocolName {
  const parts = /^Noise_([A-Z][A-Z0-9]*)([a-z][a-z0-9+]*)?_([A-Za-z0-9/+]+)_([A-Za-z0-9/]+)_([A-Za-z0-9/]+)$/.exec(text)
  if (parts === null || text.length > maxLength) throw new NoiseError('name', `"${text}" is no Noise protocol name`)
  const [, pattern = '', modifiers, dh = '', cipher = '', hash = ''] = parts
  return { text, pattern, modifiers: modifiers?.split('+') ?? [], dh, cipher, hash }
}
