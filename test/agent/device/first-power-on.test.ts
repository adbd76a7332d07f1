import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { findOwner } from '#agent/device/first-power-on.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodePem } from '#shared/pki/pem.ts'
import type { Log } from '#shared/platform/log.ts'
import { silentLog } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'
import { makeBoard, own, voucherFor } from '#test/broker/factory/board-fixture.ts'
import { BuiltFactory, later } from '#test/shared/enrolment/built-board.ts'

/** A board’s surroundings: its waits are over at once and are counted, and what it logs is kept. */
async function scene(t: TestContext, voucher: string | undefined, brokers: readonly string[] = []) {
  const factory = new BuiltFactory()
  const board = await makeBoard(t, factory, 'sn1')
  const lines: { code?: string; text: string }[] = []
  const waits: number[] = []
  const ended = new AbortController()
  let onWait = (): void => {}
  const timers: Timers = {
    setTimer(delay, callback) {
      waits.push(delay)
      onWait()
      const handle = setImmediate(callback)
      return { clear: () => clearImmediate(handle) }
    },
  }
  const keep = ({ code }: { code?: string }, text: string) => void lines.push({ ...(code && { code }), text })
  const log = { ...silentLog, warn: keep, error: keep } as unknown as Log
  const clock = { now: () => instant(0), wall: () => wallTime(0) }
  const sources = { voucher: voucher && join(board.folder.path, voucher), brokers }
  const find = (isClaimed = false) => findOwner({ ...board, sources, timers, log, clock, ended: ended.signal }, isClaimed)
  return {
    ...{ factory, board, lines, waits, ended, find },
    whenWaiting: (act: () => void) => {
      onWait = act
    },
  }
}

test('a board without an owner waits ever longer, says once for what, and ends when it is told to', async (t) => {
  const { find, waits, lines, ended, whenWaiting } = await scene(t, 'card.voucher')
  whenWaiting(() => waits.length === 30 && ended.abort())
  assert.equal(await find(), 'stopped')
  assert.equal(waits.length, 30)
  assert.ok(waits.every((wait) => wait >= 3_000 && wait <= 300_000))
  assert.ok(Math.max(...waits) > 60_000, 'it backs off')
  assert.equal(lines.length, 1)
  assert.equal(lines[0]!.code, 'voucher-missing')
  assert.match(lines[0]!.text, /this board waits for its owner: No voucher says whose this board is/)
})

test('what it waits for changes: another line each time, and then the owner', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { factory, board, find, waits, lines, ended, whenWaiting } = await scene(t, 'card.voucher', [fixture.api.url])
  const card = join(board.folder.path, 'card.voucher')
  const steps: Record<number, () => Promise<unknown> | undefined> = {
    2: () => fixture.registry.factories.trust(factory.root.certificate, 'admin:test'),
    4: () => own(fixture, factory),
  }
  // A step that fails ends the wait, which would else go on for ever.
  whenWaiting(() => {
    void steps[waits.length]?.()?.catch((error) => {
      ended.abort()
      throw error
    })
  })
  assert.equal(await find(), 'enrolled')
  assert.deepEqual(
    lines.map(({ code }) => code),
    ['certificate-refused'],
    'strangers and unknown boards are told the same',
  )
  assert.equal((await board.folder.record())?.name, 'sn1')
  writeFileSync(card, 'no voucher')
  assert.equal(await find(), 'home', 'a bad file costs an owned board nothing')
  assert.equal(lines.at(-1)!.code, 'voucher-malformed')
  writeFileSync(card, encodePem('CMS', factory.signed(voucherFor(fixture, { createdOn: later(9_000), serial: 'sn2' }))))
  assert.equal(await find(), 'home')
  assert.equal(lines.at(-1)!.code, 'voucher-foreign')
})

test('a folder that no maker has been in is left to claims; a claim goes before vouchers where there is no owner yet', async (t) => {
  const { find, board, waits } = await scene(t, undefined)
  assert.equal(await find(true), 'home')
  assert.equal(waits.length, 0)
  const plain = await StateFolder.open(join(board.folder.path, 'plain'))
  const ports = { ...board, folder: plain, sources: { voucher: undefined, brokers: [] }, log: silentLog }
  const clock = { now: () => instant(0), wall: () => wallTime(0) }
  const timers: Timers = { setTimer: () => assert.fail('it waits') }
  assert.equal(await findOwner({ ...ports, timers, clock, ended: new AbortController().signal }, false), 'home')
  assert.equal(await plain.keys(suite), undefined)
})
