import { AditError } from '#shared/errors.ts'
import type { TokenPlace } from './token-place.ts'

/** What may be wrong with a token, each with its mend. */

/** What PKCS#11 said while a key was sought, made or used. */
export function explainToken(error: unknown, place: TokenPlace): AditError {
  const { token, module } = place
  if (error instanceof AditError) return error
  const code = codeOf(error) ?? String(error)
  const because = { cause: error }
  if (code === 'CKR_PIN_INCORRECT' || code === 'CKR_PIN_LEN_RANGE' || code === 'CKR_PIN_INVALID') return wrongPin(place, because)
  if (code === 'CKR_PIN_LOCKED') return lockedPin(token, because)
  return new AditError(
    'key-token-missing',
    `The token "${token}" (${module}) does not answer: ${code}.`,
    'Put it in again, and see that its service runs; then start the agent again.',
    because,
  )
}

/** Likewise while a key is made: what a token cannot do, which other tokens can. */
export function explainMaking(error: unknown, place: TokenPlace): AditError {
  const { token } = place
  const code = codeOf(error) ?? ''
  if (curveRefused.has(code)) return noCurve(place, { cause: error })
  if (noRoom.has(code))
    return new AditError(
      'key-token-refused',
      `The token "${token}" keeps no further key (${code}).`,
      'Delete a key there that nobody needs, by its own tool, or let it be written to.',
      { cause: error },
    )
  return explainToken(error, place)
}

export const noCurve = ({ token }: TokenPlace, options?: { cause: unknown }): AditError =>
  new AditError(
    'key-token-refused',
    `The token "${token}" makes no keys of P-256.`,
    'Use one that does, as TPM 2.0 and most secure elements do: pkcs11-tool --list-mechanisms shows ECDSA-KEY-PAIR-GEN there.',
    options,
  )

const curveRefused = new Set([
  'CKR_MECHANISM_INVALID',
  'CKR_MECHANISM_PARAM_INVALID',
  'CKR_CURVE_NOT_SUPPORTED',
  'CKR_DOMAIN_PARAMS_INVALID',
  'CKR_FUNCTION_NOT_SUPPORTED',
])
const noRoom = new Set(['CKR_DEVICE_MEMORY', 'CKR_TOKEN_WRITE_PROTECTED', 'CKR_SESSION_READ_ONLY'])

/** `CKR_…` of what PKCS#11 refused. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error ? /CKR_[A-Z_]+/.exec(`${error.message} ${'code' in error ? error.code : ''}`)?.[0] : undefined

/** A session, or a handle of it, that is no more. */
export const isLost = (error: unknown): boolean =>
  /^CKR_(SESSION_|DEVICE_|TOKEN_|USER_NOT_LOGGED_IN|OBJECT_HANDLE_INVALID|KEY_HANDLE_INVALID|CRYPTOKI_NOT|GENERAL_ERROR)/.test(
    codeOf(error) ?? '',
  )

export const wrongPin = ({ token, pinFile }: TokenPlace, options?: { cause: unknown }): AditError =>
  new AditError(
    'key-token-refused',
    `The token "${token}" does not take the PIN of ${pinFile}.`,
    'Correct the file, and start the agent again; a token locks itself after a few wrong ones.',
    options,
  )

/** `others`: what is there, as labels and serial numbers. */
export const noToken = ({ token, serial }: TokenPlace, others: readonly string[]): AditError =>
  new AditError(
    'key-token-missing',
    `There is no token "${token}"${serial === undefined ? '' : ` of the serial number ${serial}`}; there is ${others.join(', ') || 'none'}.`,
    'Put the token in, or name it as its own tool shows it.',
  )

export const twoTokens = ({ token }: TokenPlace, serials: readonly string[]): AditError =>
  new AditError(
    'key-token-missing',
    `${serials.length} tokens are called "${token}": their serial numbers are ${serials.join(', ')}.`,
    `Say which one: pkcs11:token=${encodeURIComponent(token)};serial=${encodeURIComponent(serials[0] ?? '')}… (in the configuration: serial).`,
  )

export const noKey = ({ token, key }: TokenPlace): AditError =>
  new AditError(
    'key-token-missing',
    `The token "${token}" has no key "${key}".`,
    'Put in the token with which this device enrolled.',
  )

export const twoKeys = ({ token, key }: TokenPlace): AditError =>
  new AditError('key-token-refused', `The token "${token}" has two keys "${key}".`, 'Choose another label for this device’s key.')

export const otherKey = ({ token, key }: TokenPlace): AditError =>
  new AditError(
    'key-token-refused',
    `The key "${key}" of the token "${token}" is another one than before, or its halves do not belong together.`,
    'Put in the token with which this device enrolled.',
  )

export const notP256 = ({ token, key }: TokenPlace): AditError =>
  new AditError(
    'key-token-refused',
    `The key "${key}" of the token "${token}" is not of P-256.`,
    'Choose another label, and enrol: the key is made then.',
  )

export const extractableKey = ({ token, key }: TokenPlace): AditError =>
  new AditError(
    'key-token-refused',
    `The key "${key}" can be taken out of the token "${token}".`,
    'Choose another label, and enrol: a key that cannot is made then.',
  )

export const lockedPin = (token: string, options?: { cause: unknown }): AditError =>
  new AditError(
    'key-token-refused',
    `The PIN of the token "${token}" is locked.`,
    'Unlock it with its own tool, by its security officer’s PIN; a TPM by: tpm2_dictionarylockout --clear-lockout',
    options,
  )

export const lastTry = ({ token }: TokenPlace): AditError =>
  new AditError(
    'key-token-refused',
    `The token "${token}" takes one more PIN, and locks if it is wrong.`,
    'Log in by hand with the right one, as in: pkcs11-tool --login --test; then start the agent again.',
  )

export const noPin = (pinFile: string): AditError =>
  new AditError('key-token-refused', `There is no PIN in ${pinFile}.`, 'Write the user PIN of the token there, mode 0600.')

/** One key has one task: an owner's leaving destroys the key of his device, and the board's own outlives every owner. */
export const boardsKey = ({ token, key }: TokenPlace): AditError =>
  new AditError(
    'key-token-refused',
    `The key "${key}" of the token "${token}" is this board's other one: its IDevID and its device need a key each.`,
    'Give one of them another label: object=LABEL in the URI, or leave it out.',
  )

/** A device whose key is a file: it enrolled without a token, or a station made its key. */
export const keyIsFile = (path: string): AditError =>
  new AditError(
    'key-token-refused',
    `The identity key of ${path} is a file already, and a key in hardware is made there.`,
    'Empty the state folder and enrol again with --pkcs11, by a claim, a line, a console or a voucher; or leave --pkcs11 out.',
  )
