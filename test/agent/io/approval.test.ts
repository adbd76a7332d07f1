import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { ApprovalPending, untilApproved } from '#agent/io/approval.ts'
import { type EnrolOptions, enrol } from '#agent/io/enrol.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { AditError } from '#shared/errors.ts'
import { silentLog } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

/** Timers that fire when the test has done what `meanwhile` says. */
function timersThat(meanwhile: (delay: number) => Promise<void> | void): Timers & { delays: number[] } {
  const delays: number[] = []
  return {
    delays,
    setTimer(delay, callback) {
      delays.push(delay)
      void Promise.resolve(meanwhile(delay)).then(callback)
      return { clear() {} }
    },
  }
}

async function line(t: TestContext) {
  const fixture = await ApiFixture.open(t)
  const path = await mkdtemp(join(tmpdir(), 'adit-approval-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  const { id, secret } = await fixture.registry.claims.create({ role: 'device', name: 'pi', approval: true })
  const claim = { api: [fixture.api.url], ca: fixture.authority.rootFingerprint, id, secret, role: 'device' as const }
  const token = encodeClaim(claim, suite)
  const kept = join(path, 'state', 'claim')
  const start = async (options: Partial<EnrolOptions>) => {
    const folder = await StateFolder.open(join(path, 'state'))
    return enrol({ suite, clock: fixture.clock, log: silentLog, folder, token, role: 'device', ...options })
  }
  return { fixture, start, kept, token, open: () => StateFolder.open(join(path, 'state')) }
}

test('enrol waits for a person, says for what, asks again when it was told to, and comes in', async (t) => {
  const { fixture, start, kept } = await line(t)
  const steps: string[] = []
  const timers = timersThat(async () => {
    if (timers.delays.length < 3) return
    assert.equal(statSync(kept).mode & 0o777, 0o600)
    await fixture.registry.enrolments.approve(1, {})
  })
  const identity = await start({ timers, onProgress: (step) => void steps.push(step) })
  assert.equal(identity.leaf.name, 'pi')
  assert.deepEqual(timers.delays, [30_000, 30_000, 30_000])
  const said = steps.filter((step) => step.includes('waits'))
  assert.equal(said.length, 1, 'it says so once')
  assert.match(
    said[0]!,
    /Request 1 waits for a person; its key is [0-9a-f ]{39}\. On the broker: adit-broker enrolments approve 1/,
  )
  assert.equal(existsSync(kept), false)
  identity.close()
})

test('a restart goes on with the claim that was kept, and asks for the same request', async (t) => {
  const { fixture, start, open, token } = await line(t)
  const stop = new AbortController()
  await assert.rejects(start({ stopped: stop.signal, timers: timersThat(() => stop.abort()) }), { code: 'enrolment-waiting' })
  const folder = await open()
  assert.equal(await folder.keptClaim(), token)
  await fixture.registry.enrolments.approve(1, {})
  const identity = await start({ token: (await folder.keptClaim())! })
  assert.equal((await fixture.registry.enrolments.list(true)).length, 1)
  assert.equal(await folder.keptClaim(), undefined)
  identity.close()
})

test('a denial ends the waiting with its reason, and the claim is forgotten', async (t) => {
  const { fixture, start, kept } = await line(t)
  const timers = timersThat(async () => void (await fixture.registry.enrolments.deny(1, 'no such board')))
  await assert.rejects(start({ timers }), (error: AditError) => {
    assert.equal(error.code, 'enrolment-denied')
    assert.match(error.message, /no such board/)
    return true
  })
  assert.equal(existsSync(kept), false)
})

test('a broker that is away for a while ends no waiting; one that was never reached does', async (t) => {
  const { fixture, start } = await line(t)
  const url = new URL(fixture.api.url)
  const timers = timersThat(async () => {
    if (timers.delays.length === 1) return fixture.api.close()
    if (timers.delays.length > 2) return
    fixture.listen = `127.0.0.1:${url.port}`
    await fixture.start()
    await fixture.registry.enrolments.approve(1, {})
  })
  const identity = await start({ timers })
  assert.equal(timers.delays.length, 2)
  identity.close()

  const away = new AditError('broker-unreachable', 'away.', 'wait.')
  await assert.rejects(
    untilApproved(() => Promise.reject(away), { timers, onWaiting() {} }),
    away,
  )
})

test('Retry-After is in seconds and within reason; anything else is a minute', () => {
  const pause = (text?: string) =>
    new ApprovalPending({ headers: text === undefined ? {} : { 'retry-after': text }, body: new Uint8Array() }).retryAfter
  assert.deepEqual(
    ['7', '0', '999999', 'Fri, 31 Dec 1999 23:59:59 GMT', undefined].map(pause),
    [7_000, 1_000, 3_600_000, 60_000, 60_000],
  )
})
