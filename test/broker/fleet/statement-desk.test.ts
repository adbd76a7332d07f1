import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { StatementDesk } from '#broker/fleet/statement-desk.ts'
import { StatementSource } from '#broker/fleet/statement-source.ts'
import { StatementCourier } from '#broker/gateway/statement-courier.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { openStatement, type Statement, signStatement, subjectOf } from '#shared/fleet/statement.ts'
import { decodePart } from '#shared/fleet/statement-parts.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { days, wallTime } from '#shared/time/instant.ts'
import { openRegistry, randomKeys } from '#test/broker/registry/registry-fixture.ts'

const [admin, thief, next, own] = [7, 8, 9, 10].map((seed) => suite.ed25519.pair(new Uint8Array(32).fill(seed))) as [
  KeyPair,
  KeyPair,
  KeyPair,
  KeyPair,
]
const fleet = suite.hash('sha256', Buffer.from('root'))

/** A registry with a device and an operator, and what stands between it and a key. */
async function office(t: TestContext) {
  const fixture = await openRegistry()
  t.after(() => fixture.end())
  const { clock } = fixture
  const enlist = async (
    role: 'device' | 'operator',
    name: string,
    labels: { tags?: string[]; groups?: string[] },
  ): Promise<Principal> => {
    const { id, secret } = await fixture.registry.claims.create({ role, name, ...labels })
    return (await fixture.registry.claims.redeem({ id: toHex(id), secret, ...randomKeys() })).principal
  }
  const pump = await enlist('device', 'pump', { tags: ['lab'] })
  const ann = await enlist('operator', 'ann', { groups: ['staff'] })
  await fixture.registry.hostKeys.report(pump.id, 'ssh', ['ssh-ed25519 AAAA'])
  const parts = () => ({ registry: fixture.registry, fleet, suite, clock })
  const desk = () => new StatementDesk(parts())
  const source = () => StatementSource.open({ ...parts(), authority: { fleetId: fleet, statementKey: own } })
  let version = clock.ms
  const sign = (draft: Statement, by = admin) => {
    const span = { notBefore: wallTime(clock.ms - 1), notAfter: wallTime(Math.min(draft.notAfter, clock.ms + days(366))) }
    return signStatement({ ...draft, ...span, version: ++version }, { suite, pair: by })
  }
  const signAll = async (by = admin): Promise<Uint8Array[]> => {
    const signed = (await desk().pending()).pending.map(({ draft }) => sign(draft, by))
    if (signed.length > 0) await desk().submit(signed, 'admin:test')
    return signed
  }
  const waiting = async () => (await desk().pending()).pending.map(({ subject, reason }) => `${subject.split(':')[0]} ${reason}`)
  return { fixture, pump, ann, desk, source, sign, signAll, waiting, clock }
}

const said = (statements: readonly Uint8Array[], key: Uint8Array, time: number) =>
  statements.map((bytes) => openStatement(bytes, [key], wallTime(time), { suite, fleet }))
const kinds = (statements: readonly Statement[]) => statements.map(({ kind }) => kind).sort()

test('a broker that is started again and again runs not ahead of the clock, by which an administrator signs one day', async (t) => {
  const { source, pump, clock } = await office(t)
  for (let start = 0; start < 20; start++) {
    const { statements } = (await source()).forDevice(pump)
    const [{ version }] = said(statements, own.publicKey, clock.ms) as [Statement]
    assert.ok(version - clock.ms <= 2_000, `${version - clock.ms} ms ahead after ${start} restarts`)
    clock.ms += 5_000
  }
})

test('what waits: everything at first, then what is new, changed, about to end, or gone', async (t) => {
  const { fixture, signAll, waiting, clock } = await office(t)
  const { registry } = fixture
  await registry.statements.pin(admin.publicKey, 'admin:test')
  assert.deepEqual(await waiting(), ['host-keys new', 'peer new', 'peer new'])
  await signAll()
  assert.deepEqual(await waiting(), [])
  const grant = { operators: ['ann'], groups: [], tags: ['lab'], devices: [], ports: [{ from: 22, to: 22 }] }
  const { id } = await registry.grants.add(grant)
  await registry.devices.tag('pump', ['roof'], [])
  assert.deepEqual(await waiting(), ['grant new', 'peer changed'])
  await signAll()
  await registry.grants.revoke(id)
  assert.deepEqual(await waiting(), ['grant gone'])
  await signAll()
  assert.deepEqual(await waiting(), [], 'a withdrawal is the last word')
  clock.ms += days(340)
  assert.deepEqual(await waiting(), ['host-keys expiring', 'peer expiring', 'peer expiring'])
  await registry.operators.revoke('ann')
  assert.ok((await waiting()).includes('peer gone'))
})

test('a grant that ends by itself is not listed for renewal, and one that opens no port is not said at all', async (t) => {
  const { fixture, signAll, waiting, clock } = await office(t)
  await fixture.registry.statements.pin(admin.publicKey, 'admin:test')
  const grant = { operators: ['ann'], groups: [], tags: ['lab'], devices: [] }
  await fixture.registry.grants.add({ ...grant, ports: [{ from: 22, to: 22 }], until: clock.ms + days(2) })
  await fixture.registry.grants.add({ ...grant, ports: [] })
  await signAll()
  assert.deepEqual(await waiting(), [])
})

test('only the pinned key is taken, all or nothing, and no older version', async (t) => {
  const { fixture, desk, sign } = await office(t)
  const { statements } = fixture.registry
  const drafts = (await desk().pending()).pending.map(({ draft }) => draft)
  await assert.rejects(desk().submit([sign(drafts[0]!)], 'x'), { code: 'fleet-key-refused' })
  await statements.pin(admin.publicKey, 'admin:test')
  const older = sign(drafts[0]!)
  const good = drafts.map((draft) => sign(draft))
  await assert.rejects(desk().submit([...good, sign(drafts[0]!, thief)], 'x'), { code: 'statement-refused' })
  assert.deepEqual([...statements.all()], [], 'nothing of a bad batch')
  await desk().submit(good, 'x')
  await assert.rejects(desk().submit([older], 'x'), /higher version/)
  await desk().submit(good, 'x')
  const again = await fixture.reopen()
  assert.deepEqual(again.statements.pinned, admin.publicKey)
  assert.equal([...again.statements.all()].length, drafts.length, 'on disk')
  const rows = await again.audit.query({ newest: true })
  assert.ok(rows.some(({ action, detail }) => action === 'fleet.sign' && JSON.stringify(detail).includes('peer:')))
})

test('a hand-over and what the new key has signed are taken in one batch; by the wrong key it is refused', async (t) => {
  const { fixture, desk, sign, signAll, source, pump } = await office(t)
  const { statements } = fixture.registry
  await statements.pin(admin.publicKey, 'admin:test')
  await signAll()
  const all = (await desk().pending({ all: true })).pending.map(({ draft }) => draft)
  const key: Statement = { ...all[0]!, kind: 'key', key: next.publicKey } as Statement
  const handOver: Statement = {
    kind: 'key',
    fleet,
    version: 0,
    notBefore: key.notBefore,
    notAfter: key.notAfter,
    key: next.publicKey,
  }
  const signed = all.map((draft) => sign(draft, next))
  await assert.rejects(desk().submit([sign(handOver, thief), ...signed], 'x'), { code: 'statement-refused' })
  await desk().submit([sign(handOver), ...signed], 'x')
  assert.deepEqual(statements.pinned, next.publicKey)
  assert.deepEqual((await desk().pending()).pending, [])
  const set = (await source()).forDevice(fixture.registry.directory.byId(pump.id)!)
  const [link, ...rest] = set.statements
  assert.equal(said([link!], admin.publicKey, fixture.clock.ms)[0]!.kind, 'key', 'whoever was away can follow')
  assert.deepEqual(kinds(said(rest, next.publicKey, fixture.clock.ms)), ['peer'])
})

test('each end is handed its share: a device itself, its grants and their operators; an operator both ends and the host keys', async (t) => {
  const { fixture, pump, ann, signAll, source, clock } = await office(t)
  const { registry } = fixture
  await registry.grants.add({ operators: [], groups: ['staff'], tags: ['lab'], devices: [], ports: [{ from: 22, to: 22 }] })
  await registry.grants.add({ operators: ['ann'], groups: [], tags: ['other'], devices: [], ports: [{ from: 22, to: 22 }] })
  const broker = await source()
  assert.deepEqual(broker.keys, [own.publicKey])
  const unpinned = broker.forDevice(pump)
  assert.deepEqual(kinds(said(unpinned.statements, own.publicKey, clock.ms)), ['grant', 'peer', 'peer'])
  assert.deepEqual(broker.forDevice(pump), unpinned, 'the same until something changes')
  assert.deepEqual((await source()).forDevice(pump).digest, unpinned.digest, 'by the same name after a restart')
  const seen = said((await broker.forOperator(ann, pump)).statements, own.publicKey, clock.ms)
  assert.deepEqual(kinds(seen), ['grant', 'host-keys', 'peer', 'peer'])

  await registry.statements.pin(admin.publicKey, 'admin:test')
  assert.deepEqual(broker.keys, [admin.publicKey])
  assert.deepEqual(broker.forDevice(pump).statements, [], 'the broker signs no more')
  await signAll()
  const pinned = broker.forDevice(pump)
  assert.deepEqual(kinds(said(pinned.statements, admin.publicKey, clock.ms)), ['grant', 'peer', 'peer'])
  assert.notDeepEqual(pinned.digest, unpinned.digest)
})

test("the broker's own versions grow over a restart, also where its clock has stepped back", async (t) => {
  const { pump, source, clock } = await office(t)
  const versions = async () =>
    said((await source()).forDevice(pump).statements, own.publicKey, clock.ms).map(({ version }) => version)
  const [before] = await versions()
  clock.ms -= 60_000
  const [after] = await versions()
  assert.ok(after! > before!, `${after} after ${before}`)
})

test('F-08 a device that listens is told at once what it does not hold, and every change within the pause', async (t) => {
  const { fixture, pump, source } = await office(t)
  const { registry } = fixture
  const broker = await source()
  const courier = new StatementCourier({ source: broker, registry, timers: systemTimers })
  t.after(() => courier.close())
  t.after(registry.onChange((change) => courier.changed(change)))
  const told: string[][] = []
  let news = (): void => {}
  const send = (message: Uint8Array): void => {
    told.push(said(decodePart(message).statements, own.publicKey, fixture.clock.ms).map(subjectOf))
    news()
  }
  const next = () => new Promise<void>((resolve) => (news = resolve))
  courier.listen(pump.id, toHex(broker.forDevice(pump).digest), send)
  assert.equal(told.length, 0, 'it holds the set already')
  const stop = courier.listen(pump.id, '', send)
  assert.deepEqual(told, [[`peer:${pump.publicId}`]])
  stop()
  const heard = next()
  const from = performance.now()
  const { id } = await registry.grants.add({
    operators: ['ann'],
    groups: [],
    tags: ['lab'],
    devices: [],
    ports: [{ from: 1, to: 2 }],
  })
  await heard
  t.diagnostic(`told ${(performance.now() - from).toFixed(0)} ms after the administrator's word`)
  assert.ok(performance.now() - from < 1_000)
  assert.ok(told[1]?.includes(`grant:${id}`))
  const closed = next()
  await registry.grants.revoke(id)
  await closed
  assert.deepEqual(told[2], [`peer:${pump.publicId}`])
})
