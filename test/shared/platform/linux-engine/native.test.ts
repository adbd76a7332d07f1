import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRefusal, type Koffi, loadNativeOf, type Machine, type NativeRefusal } from '#shared/platform/linux-engine/native.ts'
import { native, noNative } from './native-here.ts'

/** koffi of a machine whose C lays out everything as 64-bit Linux does, but where nothing can be called. */
const lifeless: Koffi = {
  struct: () => ({}),
  union: () => ({}),
  sizeof: () => 8,
  offsetof: () => 0,
  load: () => ({ func: () => () => 0 }),
  errno: () => 0,
}

const linux: Machine = { platform: 'linux', arch: 'x64', littleEndian: true, koffi: async () => lifeless }

async function refusalOf(machine: Partial<Machine>): Promise<NativeRefusal> {
  const result = await loadNativeOf({ ...linux, ...machine })
  assert.ok(isRefusal(result))
  for (const sentence of [result.message, result.mend]) assert.match(sentence, /^[A-Z][^\n]*$/)
  return result
}

test('a machine without native code is refused with what would mend it, and nothing is thrown', async () => {
  assert.equal((await refusalOf({ platform: 'darwin' })).code, 'wrong-platform')
  assert.equal((await refusalOf({ arch: 'mips' })).code, 'wrong-abi')
  assert.equal((await refusalOf({ littleEndian: false })).code, 'wrong-abi')
  const missing = await refusalOf({
    koffi: () => Promise.reject(new Error("Cannot find package 'koffi' imported from here\nRequire stack:\n- there")),
  })
  assert.equal(missing.code, 'no-koffi')
  assert.match(missing.message, /Cannot find package 'koffi'/)
  assert.match(missing.mend, /npm install koffi/)
  const absent = await refusalOf({
    koffi: () => Promise.reject(Object.assign(new Error('Cannot find'), { code: 'ERR_MODULE_NOT_FOUND' })),
  })
  assert.equal(absent.message, 'The package koffi cannot be loaded: it is not installed.')
  for (const { message, mend } of [missing, absent]) for (const sentence of [message, mend]) assert.match(sentence, /[^.]\.$/)
})

test('structures that C lays out differently are refused by name', async () => {
  const { code, message } = await refusalOf({})
  assert.equal(code, 'wrong-abi')
  assert.match(message, /iovec\.length is 0, not 8/)
})

test('native code that does not do what it should is refused', { skip: noNative }, async () => {
  const { default: koffi } = await import('koffi')
  const real = koffi as unknown as Koffi
  const arch = process.arch
  const withLibrary = (load: Koffi['load']) => refusalOf({ arch, koffi: async () => ({ ...real, load }) })
  const throwing = await withLibrary(() => {
    throw new Error('dlopen failed')
  })
  assert.equal(throwing.code, 'self-test-failed')
  assert.match(throwing.message, /dlopen failed/)
  // memset that does nothing; then a close that succeeds.
  assert.match((await withLibrary(() => ({ func: () => () => 0 }))).message, /does not arrive in memory/)
  const onlyMemset = await withLibrary((path) => ({
    func: (declaration) => (declaration.includes('close') ? () => 0 : real.load(path).func(declaration)),
  }))
  assert.match(onlyMemset.message, /Errors of the system/)
})

test('what the process has loaded can be called, what it has not cannot', { skip: noNative }, () => {
  const libc = native.library(null)
  assert.equal(libc.function('int toupper(int letter)')(97), 65)
  assert.throws(() => libc.function('int no_such_function_anywhere(int value)'))
  assert.throws(() => native.library('libnothing-of-that-name.so.9'))
})
