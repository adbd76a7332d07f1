import assert from 'node:assert/strict'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { OpenStation } from '#agent/station/io/open-station.ts'
import { standardRules } from '#broker/enrolment/enrolment-rules.ts'
import type { HookQuestion } from '#broker/enrolment/hook.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { createRequest } from '#shared/pki/request.ts'
import { deliver, LineFixture } from '#test/agent/station/station-fixture.ts'

/** A line whose fleet has a hook: a program that says of each name what the test has put down for it, and else allows. */
class HookedLine {
  readonly line: LineFixture
  readonly #folder: string

  private constructor(line: LineFixture, folder: string) {
    this.line = line
    this.#folder = folder
  }

  static async open(t: TestContext): Promise<HookedLine> {
    const line = await LineFixture.open(t)
    const folder = await line.folder()
    const place = join(folder, 'hook')
    const script = `#!/bin/sh
read -r question
printf '%s\\n' "$question" >> '${folder}/questions'
name=\${question#*\\"name\\":\\"}
cat "${folder}/verdict-\${name%%\\"*}" 2>/dev/null || echo '{"decision":"allow"}'
`
    await writeFile(place, script)
    await chmod(place, 0o755)
    line.fixture.listen = new URL(line.fixture.api.url).host
    await line.fixture.restart({ ...standardRules, hook: { place } })
    return new HookedLine(line, folder)
  }

  says(name: string, verdict: object | string): Promise<void> {
    return writeFile(join(this.#folder, `verdict-${name}`), typeof verdict === 'string' ? verdict : JSON.stringify(verdict))
  }

  async questions(): Promise<HookQuestion[]> {
    const text = await readFile(join(this.#folder, 'questions'), 'utf8').catch(() => '')
    return text
      .split('\n')
      .filter(Boolean)
      .map((one) => JSON.parse(one) as HookQuestion)
  }

  device(name: string) {
    return this.line.registry.directory.byName('device', name)
  }

  async conflicts(): Promise<{ kind: string; ours: string | undefined; other: string; solved: boolean }[]> {
    const found = await this.line.registry.stationUnits.conflicts({ all: true })
    return found.map(({ kind, ours, other, solvedAt }) => {
      return { kind, ours: ours.unit, other: other.what, solved: solvedAt !== undefined }
    })
  }

  async audited(action: string): Promise<number> {
    return (await this.line.registry.audit.query({ limit: 500 })).filter((entry) => entry.action === action).length
  }
}

/** A board that makes its own keys, as the EST door and the serial way bring it to the counter. */
async function bringOwnKey({ desk }: OpenStation, serial: string) {
  const tunnel = { pair: suite.x25519.generate(), enrolmentKey: desk.enrolmentKey }
  const request = createRequest({ name: 'board', identity: suite.ecdsaP256.generate(), tunnel }, suite)
  await desk.open(serial, 'network')
  return desk.certify(serial, request)
}

const deny = (reason: string) => ({ decision: 'deny', reason })

test('the hook is asked of a unit that the broker certifies for a station: it tags, denies, and renames nobody', async (t) => {
  const hooked = await HookedLine.open(t)
  const station = await hooked.line.open(await hooked.line.init())
  await hooked.says('pump-1', { decision: 'allow', tags: ['checked'] })
  await hooked.says('pump-2', deny('not in the order book'))
  await hooked.says('pump-3', { decision: 'allow', name: 'kitchen' })
  await hooked.says('pump-4', { decision: 'allow', name: 'pump-4' })
  await deliver(station, 'board-1')
  assert.deepEqual(hooked.device('pump-1')?.tags, ['checked', 'pumps'])
  await assert.rejects(deliver(station, 'board-2'), { code: 'enrolment-denied', message: /not in the order book/ })
  await assert.rejects(deliver(station, 'board-3'), { code: 'enrolment-denied', message: /kitchen.*pump-3/ })
  await deliver(station, 'board-4')
  assert.deepEqual(
    ['pump-2', 'pump-3', 'kitchen'].map((name) => hooked.device(name)),
    [undefined, undefined, undefined],
  )
  const asked = (await hooked.questions()).filter(({ role }) => role === 'device')
  assert.deepEqual(
    asked.map(({ name, serial, right }) => [name, serial, right]),
    [1, 2, 3, 4].map((n) => [`pump-${n}`, `board-${n}`, `station:line-1/board-${n}`]),
  )
  const { conflicts } = await station.sync()
  assert.equal(conflicts, 0)
  assert.equal((await hooked.questions()).length, asked.length + 1, 'once each, and once for the station itself')
})

test('P-33 a hook without a verdict: nobody is certified through the broker', async (t) => {
  const hooked = await HookedLine.open(t)
  const station = await hooked.line.open(await hooked.line.init())
  await hooked.says('pump-1', 'perhaps')
  await assert.rejects(deliver(station, 'board-1'), { code: 'hook-failed' })
  await assert.rejects(bringOwnKey(station, 'board-1'), { code: 'hook-failed' })
  assert.equal((await station.desk.record('board-1'))?.certificateSerial, undefined)
  await hooked.says('pump-1', { decision: 'allow' })
  await deliver(station, 'board-1')
  assert.notEqual(hooked.device('pump-1'), undefined)
})

test('a board that makes its own key is asked about before the station certifies it, and again when it comes in', async (t) => {
  const hooked = await HookedLine.open(t)
  const station = await hooked.line.open(await hooked.line.init())
  await hooked.says('pump-1', deny('stolen'))
  await assert.rejects(bringOwnKey(station, 'board-1'), { code: 'enrolment-denied', message: /stolen/ })
  assert.equal((await station.desk.record('board-1'))?.certificateSerial, undefined, 'no certificate was made')
  await hooked.says('pump-1', { decision: 'allow', name: 'other' })
  await assert.rejects(bringOwnKey(station, 'board-1'), { code: 'enrolment-denied', message: /calls it other/ })
  await hooked.says('pump-1', { decision: 'allow', tags: ['checked'] })
  await bringOwnKey(station, 'board-1')
  await station.desk.delivered('board-1', 'test')
  assert.deepEqual(await station.sync().then(({ conflicts }) => conflicts), 0)
  assert.deepEqual(hooked.device('pump-1')?.tags, ['checked', 'pumps'])
  const rights = (await hooked.questions()).map(({ right, serial }) => [right, serial]).slice(-2)
  assert.deepEqual(rights, Array(2).fill(['station:line-1/board-1', 'board-1']))
})

test('what stands against a board is told before the station certifies it, whatever the hook would say', async (t) => {
  const hooked = await HookedLine.open(t)
  const one = await hooked.line.open(await hooked.line.init())
  const two = await hooked.line.open(await hooked.line.init({ name: 'line-2' }))
  await deliver(one, 'board-7')
  const before = (await hooked.questions()).length
  await assert.rejects(bringOwnKey(two, 'board-7'), { code: 'unit-delivered', message: /line-1|pump-1/ })
  assert.equal((await hooked.questions()).length, before)
})

test('units that a station made offline are asked about at the sync: who is denied stays out, with both records, and the others come in', async (t) => {
  const hooked = await HookedLine.open(t)
  const station = await hooked.line.open(await hooked.line.init(), { mode: 'offline' })
  for (let n = 1; n <= 20; n += 1) await deliver(station, `board-${n}`)
  await hooked.says('pump-3', deny('not ours'))
  await hooked.says('pump-11', { decision: 'allow', name: 'kitchen' })
  await hooked.says('pump-20', { decision: 'allow', tags: ['last'] })
  const { conflicts, entries } = await station.sync()
  assert.deepEqual([conflicts, entries], [2, station.ledger.head.number])
  const live = [...hooked.line.registry.directory.all('device')].map(({ name }) => name)
  assert.equal(live.length, 18)
  assert.ok(!live.includes('pump-3') && !live.includes('pump-11') && !live.includes('kitchen'))
  assert.deepEqual(hooked.device('pump-20')?.tags, ['last', 'pumps'])
  assert.deepEqual(await hooked.conflicts(), [
    { kind: 'hook-denied', ours: 'board-3', other: "the fleet's enrolment hook does not let this in: not ours", solved: false },
    {
      kind: 'hook-renamed',
      ours: 'board-11',
      other: "the fleet's enrolment hook calls it kitchen, and its station pump-11",
      solved: false,
    },
  ])
  assert.equal(await hooked.audited('enrolment.hook-denied'), 1)
  const asked = (await hooked.questions()).length
  assert.equal((await station.sync()).sent, 0)
  assert.equal((await hooked.questions()).length, asked, 'of what is known nobody asks again')
})

test('P-33 a hook without a verdict at the sync: what came before it is known, the rest is not lost, and comes when the hook answers', async (t) => {
  const hooked = await HookedLine.open(t)
  const station = await hooked.line.open(await hooked.line.init(), { mode: 'offline' })
  for (let n = 1; n <= 20; n += 1) await deliver(station, `board-${n}`)
  await hooked.says('pump-12', '{"decision":"maybe"}')
  await assert.rejects(station.sync(), { code: 'hook-failed' })
  assert.equal(hooked.device('pump-12'), undefined)
  assert.ok(hooked.device('pump-1'), 'a group that the hook has answered for')
  assert.equal((await hooked.conflicts()).length, 0)
  await hooked.says('pump-12', { decision: 'allow' })
  const { conflicts, entries } = await station.sync()
  assert.deepEqual([conflicts, entries], [0, station.ledger.head.number])
  assert.equal([...hooked.line.registry.directory.all('device')].length, 20)
})

test('a unit that calls before its station has told of it is asked about: denied it stays a stranger, asked again after a minute', async (t) => {
  const hooked = await HookedLine.open(t)
  const { line } = hooked
  const station = await line.open(await line.init(), { mode: 'offline' })
  await station.desk.open('board-1', 'image')
  const bundle = await station.desk.bundle('board-1')
  const ask = () => line.fixture.ask('/v1/agent/config', { as: { key: bundle.identityPem, cert: bundle.chain } })
  const asked = (await hooked.questions()).length
  await hooked.says('pump-1', deny('not yet'))
  assert.deepEqual([(await ask()).status, (await ask()).status], [403, 403])
  assert.equal((await hooked.questions()).length, asked + 1)
  assert.deepEqual(
    (await hooked.conflicts()).map(({ kind, solved }) => [kind, solved]),
    [['hook-denied', false]],
  )
  await hooked.says('pump-1', '')
  line.fixture.clock.forward(60_000)
  const { status, json } = await ask()
  assert.deepEqual([status, json.error], [503, 'hook-failed'])
  await hooked.says('pump-1', { decision: 'allow', tags: ['late'] })
  assert.deepEqual(
    (await Promise.all([ask(), ask(), ask()])).map((answer) => answer.status),
    [200, 200, 200],
  )
  const last = (await hooked.questions()).slice(asked)
  assert.equal(last.length, 3, 'calls at once are one question')
  assert.deepEqual([last[2]?.right, last[2]?.serial, last[2]?.name], ['station:line-1', null, 'pump-1'])
  assert.deepEqual(hooked.device('pump-1')?.tags, ['late', 'pumps'])
  assert.equal((await hooked.conflicts())[0]?.solved, true)
  await station.desk.delivered('board-1', 'test')
  assert.equal((await station.sync()).conflicts, 0)
})
