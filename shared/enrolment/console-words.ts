import { AditError } from '#shared/errors.ts'

/**
 * What a station asks a board over its console, and what it answers; JSON. Each may be asked again.
 *
 *   who   its serial number, and a PKCS#10 request of keys that it makes and keeps
 *   take  the identity for that request: on its disk when it answers, with the SHA-256 of the certificate that it holds
 *   end   its program ends
 */
export type ConsoleAsk =
  | { readonly ask: 'who'; readonly enrolmentKey: string }
  | {
      readonly ask: 'take'
      readonly chain: string
      readonly root: string
      readonly api: readonly string[]
      readonly addresses?: readonly string[]
      readonly fleetKey?: string
    }
  | { readonly ask: 'end' }

/** `said`: the number was given to it by a person, and not by its firmware. Base64 where there are bytes. */
export interface WhoAnswer {
  readonly serial?: string
  readonly said?: boolean
  readonly request: string
}

export interface TakeAnswer {
  readonly held: string
}

export const encodeWord = (word: object): Uint8Array => Buffer.from(JSON.stringify(word), 'utf8')

/** Throws AditError `line-lost` for anything but a JSON object. */
export function decodeWord(message: Uint8Array): Record<string, unknown> {
  try {
    const word: unknown = JSON.parse(Buffer.from(message).toString('utf8'))
    if (typeof word === 'object' && word !== null && !Array.isArray(word)) return word as Record<string, unknown>
  } catch {
    // Said below.
  }
  throw new AditError(
    'line-lost',
    'The other end of the serial console says what cannot be understood.',
    'Check that both are adit of the same version.',
  )
}
