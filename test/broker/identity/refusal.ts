import assert from 'node:assert/strict'
import { AditError } from '#shared/errors.ts'
import { PkiError, type PkiErrorCode } from '#shared/pki/pki-error.ts'

/** The exact reason inside a `certificate-refused`; what strangers are told is added to `messages`. */
export function codeOfRefusal(act: () => unknown, messages?: Set<string>): PkiErrorCode {
  try {
    act()
  } catch (error) {
    assert.ok(error instanceof AditError && error.code === 'certificate-refused', String(error))
    assert.ok(error.cause instanceof PkiError)
    messages?.add(`${error.message} ${error.mend}`)
    return error.cause.code
  }
  assert.fail('it was accepted')
}
