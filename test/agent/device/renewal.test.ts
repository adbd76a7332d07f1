import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { enrol } from '#agent/io/enrol.ts'
import { Identity } from '#agent/io/identity.ts'
import { Renewal } from '#agent/io/renewal.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { isAditError } from '#shared/errors.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { ApiFixture, oneDay } from '#test/broker/api/api-fixture.ts'

async function enrolled(t: TestContext, ttl?: number) {
  const fixture = await ApiFixture.open(t)
  const path = await mkdtemp(join(tmpdir(), 'adit-renewal-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  const complaints: string[] = []
  const log: Log = {
    error() {},
    info() {},
    debug() {},
    trace() {},
    warn: (facts: object) => void complaints.push((facts as { code: string }).code),
  }
  const ports = { suite, clock: fixture.clock, log }
  const claim = await fixture.registry.claims.create({ role: 'device', name: 'pi', ...(ttl !== undefined && { ttl }) })
  const token = encodeClaim(
    { api: [fixture.api.url], ca: fixture.authority.rootFingerprint, id: claim.id, secret: claim.secret, role: 'device' },
    suite,
  )
  const open = () => StateFolder.open(join(path, 'state'))
  const start = async () => enrol({ ...ports, folder: await open(), token, role: 'device' })
  const load = async () => (await Identity.load(await open(), ports))!
  /** After a long time: the broker has renewed its own certificate meanwhile. */
  const later = async (ms: number) => {
    await fixture.api.close()
    fixture.clock.forward(ms)
    await fixture.authority.refreshApiCertificate()
    await fixture.start()
    const folder = await open()
    await folder.saveRecord({ ...(await folder.record())!, api: [fixture.api.url] })
    return load()
  }
  return { fixture, complaints, log, start, load, later, state: join(path, 'state') }
}

/** Timers that stand until they are asked for the next call. */
class HandTimers implements Timers {
  waits: { delay: number; callback: () => void }[] = []
  #woken: (() => void) | undefined
  setTimer = (delay: number, callback: () => void) => {
    const wait = { delay, callback }
    this.waits.push(wait)
    this.#woken?.()
    const clear = (): void => {
      this.waits = this.waits.filter((other) => other !== wait)
    }
    return { clear }
  }
  /** The next wait, set already or to come. */
  async next(): Promise<{ delay: number; callback: () => void }> {
    if (this.waits.length === 0) await new Promise<void>((resolve) => (this.#woken = resolve))
    return this.waits.shift()!
  }
}

function renewing(identity: Identity, log: Log) {
  const timers = new HandTimers()
  const renewed: number[] = []
  const renewal = new Renewal({
    suite,
    timers: timers as unknown as Timers,
    log,
    identity,
    onRenewed: (notAfter) => void renewed.push(notAfter),
  })
  return { renewal, timers, renewed }
}

test('a certificate renews between 2/3 and 3/4 of its life, spread by dice, and not before', async (t) => {
  const { start, fixture, log, complaints } = await enrolled(t)
  const identity = await start()
  t.after(() => identity.close())
  const { notBefore, notAfter } = identity.leaf
  const parts = Array.from({ length: 50 }, () => (renewing(identity, log).renewal.dueAt - notBefore) / (notAfter - notBefore))
  assert.ok(parts.every((part) => part >= 2 / 3 && part <= 3 / 4))
  assert.ok(Math.max(...parts) - Math.min(...parts) > 0.03, 'a fleet made in a day renews over days')

  const { renewal, timers, renewed } = renewing(identity, log)
  t.after(() => renewal.stop())
  renewal.start()
  const first = await timers.next()
  assert.equal(first.delay, 6 * 3_600_000)
  fixture.clock.ms = Math.ceil(renewal.dueAt)
  first.callback()
  await timers.next()
  assert.deepEqual([renewed.length, complaints], [1, []])
  assert.ok(identity.leaf.notAfter > notAfter)
})

test('while the API is away it backs off, the old certificate stays whole, and a hint makes it try at once', async (t) => {
  const { start, load, fixture, log, complaints, state } = await enrolled(t)
  const identity = await start()
  t.after(() => identity.close())
  const before = await readFile(join(state, 'certificate.pem'), 'utf8')
  await fixture.api.close()
  fixture.clock.forward(25 * oneDay)
  const { renewal, timers, renewed } = renewing(identity, log)
  t.after(() => renewal.stop())
  renewal.start()
  const delays: number[] = []
  for (let i = 0; i < 16; i++) {
    const { delay, callback } = await timers.next()
    delays.push(delay)
    callback()
  }
  await timers.next()
  assert.ok(
    delays.every((delay) => delay >= 60_000 && delay <= 3_600_000),
    `${delays}`,
  )
  assert.ok(Math.max(...delays) > 2 * Math.min(...delays), 'it backs off')
  assert.ok(complaints.every((code) => code === 'broker-unreachable'))
  assert.equal(await readFile(join(state, 'certificate.pem'), 'utf8'), before)
  assert.equal((await load()).leaf.notAfter, identity.leaf.notAfter)
  assert.equal(renewed.length, 0)
})

test('F-31 expired on a shelf it renews by itself', async (t) => {
  const { start, load, later, fixture, log } = await enrolled(t)
  ;(await start()).close()
  const identity = await later((30 + 399) * oneDay)
  t.after(() => identity.close())
  assert.ok(identity.leaf.notAfter < fixture.clock.ms)
  await assert.rejects(identity.api().config(), (error) => isAditError(error), 'it may renew and do nothing else')
  const { renewal, timers, renewed } = renewing(identity, log)
  t.after(() => renewal.stop())
  renewal.start()
  await timers.next()
  assert.equal(renewed.length, 1)
  assert.equal((await identity.api().config()).name, 'pi')
  assert.equal((await load()).leaf.notAfter, identity.leaf.notAfter)
})

test('F-31 beyond 400 days it is refused with its reason where it was in service, and goes on trying', async (t) => {
  const { start, later, fixture, log, complaints } = await enrolled(t)
  const before = await start()
  fixture.clock.forward(21 * oneDay)
  await before.renew()
  before.close()
  const identity = await later((30 + 401) * oneDay)
  t.after(() => identity.close())
  const { renewal, timers, renewed } = renewing(identity, log)
  t.after(() => renewal.stop())
  renewal.start()
  const { delay, callback } = await timers.next()
  callback()
  await timers.next()
  assert.ok(delay >= 60_000)
  assert.deepEqual([complaints.length, renewed.length], [2, 0])
  assert.ok(
    complaints.every((code) => code === 'certificate-refused'),
    `${complaints}`,
  )
})

test('refused for its retired CA it renews at once, once; refused in that too it stops, and keeps its own time', async (t) => {
  const { start, fixture, log, complaints } = await enrolled(t)
  const identity = await start()
  t.after(() => identity.close())
  const { rotation } = fixture.authority
  await rotation.prepare('device')
  for (const phase of ['trusted', 'issuing', 'retired'] as const) await rotation.advance('device', phase)
  const { renewal, renewed } = renewing(identity, log)
  t.after(() => renewal.stop())
  assert.deepEqual([await renewal.refused(), renewed.length], [true, 1])
  assert.equal((await identity.api().config()).name, 'pi')
  await fixture.registry.devices.revoke('pi')
  assert.deepEqual([await renewal.refused(), renewed.length, complaints], [false, 1, ['certificate-refused']])
  const { notBefore, notAfter } = identity.leaf
  assert.ok(renewal.dueAt - notBefore >= (notAfter - notBefore) * (2 / 3), 'not due before its time')
})

test('F-31 ten years on a shelf with its first certificate it renews by itself', async (t) => {
  const { start, later, fixture, log } = await enrolled(t)
  ;(await start()).close()
  const identity = await later(3_650 * oneDay)
  t.after(() => identity.close())
  const { renewal, timers, renewed } = renewing(identity, log)
  t.after(() => renewal.stop())
  renewal.start()
  await timers.next()
  assert.equal(renewed.length, 1)
  assert.ok(identity.leaf.notAfter > fixture.clock.ms)
})

test('an expired claim says so at the agent, and leaves the folder free to enrol', async (t) => {
  const { start, fixture, load } = await enrolled(t, 60_000)
  fixture.clock.forward(61_000)
  await assert.rejects(start(), (error) => isAditError(error) && error.code === 'claim-expired' && error.mend.length > 0)
  assert.equal(await load(), undefined)
})

for (const name of ['agent.json', 'certificate.pem', 'ca.pem', 'identity.key', 'tunnel.key']) {
  test(`F-03 a damaged ${name} is put aside and made anew from its copy`, async (t) => {
    const { start, load, state } = await enrolled(t)
    const before = await start()
    before.close()
    const whole = await readFile(join(state, name), 'utf8')
    const damages = [
      () => truncate(join(state, name), 0),
      () => writeFile(join(state, name), Buffer.alloc(whole.length), { mode: 0o600 }),
      () => truncate(join(state, name), 20),
    ]
    for (const damage of damages) {
      await damage()
      const after = await load()
      after.close()
      assert.equal(after.leaf.notAfter, before.leaf.notAfter)
      assert.deepEqual(after.keys.tunnel.publicKey, before.keys.tunnel.publicKey)
      assert.equal(await readFile(join(state, name), 'utf8'), whole)
    }
    assert.ok((await readdir(state)).includes(`${name}.corrupt-1`))
  })
}

test('F-03 one spoilt byte of the certificate is found by its signatures', async (t) => {
  const { start, load, state } = await enrolled(t)
  const before = await start()
  before.close()
  const path = join(state, 'certificate.pem')
  const text = await readFile(path, 'utf8')
  const at = 300
  await writeFile(path, text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1))
  assert.equal((await load()).leaf.notAfter, before.leaf.notAfter)
  assert.equal(await readFile(path, 'utf8'), text)
})
