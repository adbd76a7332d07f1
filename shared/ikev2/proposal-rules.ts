import { Encryption, Integrity, KeyExchangeMethod, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'

/** What a proposal must hold to mean anything, whatever its algorithms are (RFC 7296 §3.3.3, RFC 5282 §8). */

export const transformsOf = (proposal: Proposal, type: number): Transform[] =>
  proposal.transforms.filter((transform) => transform.type === type)

/** Combined modes bring their own integrity; numbers that we never choose are among them, so that their proposals are judged rightly. */
const combinedModes: ReadonlySet<number> = new Set([
  Encryption.AesCcm8,
  Encryption.AesCcm12,
  Encryption.AesCcm16,
  Encryption.AesGcm8,
  Encryption.AesGcm12,
  Encryption.AesGcm16,
  Encryption.NullAuthAesGmac,
  Encryption.ChaCha20Poly1305,
])

export const isCombined = (transform: Transform): boolean =>
  transform.type === TransformType.Encryption && combinedModes.has(transform.id)

const allowedTypes: Readonly<Record<number, readonly number[]>> = {
  [ProtocolId.Ike]: [TransformType.Encryption, TransformType.Prf, TransformType.Integrity, TransformType.KeyExchange],
  [ProtocolId.Esp]: [TransformType.Encryption, TransformType.Integrity, TransformType.KeyExchange, TransformType.Esn],
}

/** SPIs of ESP below this are reserved (RFC 4303 §2.1). */
const leastEspSpi = 256

/**
 * Why the proposal as a whole is unacceptable, as the end of a sentence; undefined where only its algorithms remain to be judged. `protocol`:
 * the one that is being negotiated.
 */
export function defectOf(proposal: Proposal, protocol: number): string | undefined {
  if (proposal.protocol === ProtocolId.Ah)
    return 'it is for AH, which cannot cross a NAT; ESP with aes256gmac protects as much of a packet that gets through'
  const types = allowedTypes[protocol]
  if (proposal.protocol !== protocol || types === undefined) return `it is for protocol ${proposal.protocol}`
  const stranger = proposal.transforms.find((transform) => !types.includes(transform.type))
  if (stranger !== undefined) return `it has a transform of type ${stranger.type}, which has no place in it`
  return (
    defectOfSpi(proposal) ??
    defectOfCipher(proposal) ??
    (protocol === ProtocolId.Ike ? defectOfIke(proposal) : defectOfEsp(proposal))
  )
}

function defectOfSpi({ spi, protocol }: Proposal): string | undefined {
  if (spi.length === 0) return undefined
  const value = spi.reduce((sum, byte) => sum * 256 + byte, 0)
  return value < (protocol === ProtocolId.Esp ? leastEspSpi : 1) ? 'its SPI is a reserved one' : undefined
}

/** Encryption and integrity belong together: one of them combined mode, or both (A-17: never neither). */
function defectOfCipher(proposal: Proposal): string | undefined {
  const ciphers = transformsOf(proposal, TransformType.Encryption)
  if (ciphers.length === 0) return 'it has no encryption'
  const integrity = transformsOf(proposal, TransformType.Integrity)
  const combined = ciphers.filter(isCombined).length
  if (combined === ciphers.length)
    return integrity.some(({ id }) => id !== Integrity.None)
      ? 'it has an integrity algorithm beside a cipher that needs none'
      : undefined
  if (combined > 0) return 'it mixes ciphers that need an integrity algorithm with ones that do not; they belong in two proposals'
  if (integrity.length === 0) return 'it encrypts without any integrity algorithm'
  return integrity.some(({ id }) => id === Integrity.None) ? 'it lets the integrity algorithm be none' : undefined
}

function defectOfIke(proposal: Proposal): string | undefined {
  const [prf] = transformsOf(proposal, TransformType.Prf)
  const groups = transformsOf(proposal, TransformType.KeyExchange)
  if (prf === undefined) return 'it has no PRF'
  if (groups.length === 0) return 'it has no key exchange'
  if (groups.some(({ id }) => id === KeyExchangeMethod.None)) return 'it lets the key exchange be none'
  const readable = transformsOf(proposal, TransformType.Encryption).some(
    ({ id }) => id === Encryption.Null || id === Encryption.NullAuthAesGmac,
  )
  return readable ? 'it lets IKE messages go unencrypted' : undefined
}

const defectOfEsp = (proposal: Proposal): string | undefined =>
  transformsOf(proposal, TransformType.Esn).length === 0
    ? 'it does not say whether sequence numbers have 64 bits (esn or noesn)'
    : undefined
