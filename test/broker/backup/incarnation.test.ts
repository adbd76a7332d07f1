import assert from 'node:assert/strict'
import test from 'node:test'
import { meetBroker } from '#agent/core/met-brokers.ts'
import { IncarnationDesk, parseRestored } from '#broker/backup/incarnation.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'

/** A registry's settings and audit, in memory; `claims`: those that are open. */
function registry(claims: string[] = []) {
  const kept = new Map<string, string>()
  const audit: string[] = []
  const revoked: string[] = []
  return {
    kept,
    audit: { actions: audit, append: async ({ action }: { action: string }) => void audit.push(action) },
    settings: { get: async (key: string) => kept.get(key), set: async (key: string, value: string) => void kept.set(key, value) },
    claims: {
      revoked,
      list: async () => claims.map((id) => ({ id, ...(revoked.includes(id) && { revokedAt: 1 }) })),
      revoke: async (id: string) => void revoked.push(id),
    },
  }
}

const open = (parts: ReturnType<typeof registry>) => IncarnationDesk.open(parts as never, suite)
const note = (id: string, epoch: number) => ({
  incarnation: { id, epoch },
  from: { id: 'aa'.repeat(16), epoch: 1 },
  made: 1,
  restored: 2,
})

test('a life is drawn once; a restore begins another, closes the claims that were open, and may be begun twice', async () => {
  const parts = registry(['c1', 'c2'])
  const desk = await open(parts)
  assert.equal(desk.own.epoch, 1)
  assert.deepEqual((await open(parts)).own, desk.own)
  const restored = note('bb'.repeat(16), 2)
  for (let time = 0; time < 2; time++) await desk.begin(restored, parts.claims as never)
  assert.deepEqual(desk.own, restored.incarnation)
  assert.deepEqual((await open(parts)).own, restored.incarnation)
  assert.deepEqual(parts.claims.revoked, ['c1', 'c2'])
  assert.deepEqual(parts.audit.actions, ['broker.restore'])
  assert.equal(parseRestored(Buffer.from('{}')), undefined)
  assert.deepEqual(parseRestored(Buffer.from(JSON.stringify(restored))), restored)
})

test('whom an agent has met tells of a copy, an origin that runs on, and a second copy; and of none where all is as it should be', async () => {
  const lives = { origin: '1.aa', copy: '2.bb', second: '2.cc' }
  const text = (name: keyof typeof lives) => lives[name].slice(0, 2) + lives[name].slice(2).repeat(16)
  /** The agent's road from broker to broker; what the last one is told. */
  const road = async (...names: (keyof typeof lives)[]): Promise<string[]> => {
    const parts = registry()
    const desk = await open(parts)
    const at = names.at(-1)!
    const [epoch = '', id = ''] = text(at).split('.')
    await desk.begin(note(id, Number(epoch)), parts.claims as never)
    let met: readonly string[] = []
    for (const name of names.slice(0, -1)) met = meetBroker(met, text(name))
    await desk.hear(met.join(), 'device:pump', 1_000)
    // A thousand others say the same.
    await desk.hear(met.join(), 'device:other', 2_000)
    assert.equal(parts.audit.actions.filter((action) => action === 'broker.twin').length, desk.twins.length)
    return desk.twins.map(({ kind, toldBy }) => `${kind} ${toldBy}`)
  }
  assert.deepEqual(await road('origin'), [])
  assert.deepEqual(await road('origin', 'origin'), [])
  assert.deepEqual(await road('origin', 'copy'), [], 'the first contact after a restore')
  assert.deepEqual(await road('origin', 'copy', 'copy'), [])
  assert.deepEqual(await road('origin', 'copy', 'origin'), ['later device:pump'])
  assert.deepEqual(await road('origin', 'copy', 'origin', 'copy'), ['former device:pump'])
  assert.deepEqual(await road('copy', 'second'), ['parallel device:pump'])
})

test('an agent remembers four, whatever it is told; a broker reads nothing but lives', async () => {
  let met: readonly string[] = []
  for (let n = 0; n < 10; n++) met = meetBroker(met, `1.${String(n).repeat(32)}`)
  assert.equal(met.length, 4)
  assert.equal(meetBroker(met, undefined), met)
  assert.equal(meetBroker(met, 'x'.repeat(65)), met)
  assert.equal(meetBroker(met, met[0]), met)
  const desk = await open(registry())
  for (const nonsense of [undefined, '', ',,,', '1.zz', '99999999999.aa', 'x'.repeat(10_000)])
    await desk.hear(nonsense, 'device:x', 1)
  assert.deepEqual(desk.twins, [])
  await desk.hear(`7.${'dd'.repeat(16)}`, 'device:x', 1)
  assert.equal(desk.twins.length, 1)
  await desk.forget()
  assert.deepEqual(desk.twins, [])
})
