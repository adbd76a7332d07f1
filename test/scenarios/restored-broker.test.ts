import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet } from '#test/lab/fleet.ts'
import { run } from '#test/lab/program.ts'

const patienceMs = 60_000

interface Status {
  devices: number
  incarnation: { id: string; epoch: number }
  twins: { id: string; epoch: number; kind: string; toldBy: string }[]
}

/** Waits until an agent has told the broker of another one. */
async function twinOf(fleet: Fleet): Promise<Status['twins'][number]> {
  const end = performance.now() + patienceMs
  for (;;) {
    const { twins } = await fleet.admin<Status>('status')
    if (twins[0] !== undefined) return twins[0]
    assert.ok(performance.now() < end, 'the broker hears of the other one')
    await wait(200)
  }
}

async function command(words: readonly string[]): Promise<{ status: number | null; said: string }> {
  const { status, stdout, stderr } = await run('adit-broker', words)
  return { status, said: stdout + stderr }
}

test('a backup of the running broker brings the fleet back; that it was restored twice, or beside its origin, is noticed', async (t) => {
  const first = await Fleet.start(t)
  const pump = await first.device('pump')
  const open = await first.claim('device', 'later')
  const file = join(first.folder, 'adit.backup')
  const secret = join(first.folder, 'passphrase')
  writeFileSync(secret, 'correct horse battery staple\n', { mode: 0o600 })
  const made = await first.admin<{ files: number }>('backup', '--out', file, '--passphrase-file', secret)
  assert.ok(made.files > 8, String(made.files))
  assert.deepEqual(
    readdirSync(first.data).filter((name) => name.startsWith('.')),
    [],
    'no snapshot stays behind',
  )
  assert.match(await first.adminSays('backup', '--check', file, '--passphrase-file', secret), /^whole: /)

  writeFileSync(join(first.folder, 'wrong'), 'incorrect horse\n')
  const wrong = await command([
    'restore',
    '--in',
    file,
    '--data',
    join(first.folder, 'x'),
    '--passphrase-file',
    join(first.folder, 'wrong'),
  ])
  assert.equal(wrong.status, 3)
  assert.match(wrong.said, /passphrase-wrong/)
  const data = { second: join(first.folder, 'second'), third: join(first.folder, 'third') }
  for (const folder of Object.values(data)) {
    const done = await command(['restore', '--in', file, '--data', folder, '--passphrase-file', secret])
    assert.equal(done.status, 0, done.said)
    assert.match(done.said, /must be revoked again/)
  }
  const full = await command(['restore', '--in', file, '--data', first.data, '--passphrase-file', secret])
  assert.match(full.said, /is not empty/)

  // The machine is lost: the copy takes its place, and the device finds it by itself.
  const place = { listen: first.listen, api: first.api }
  const origin = await first.admin<Status>('status')
  await first.broker.stop()
  const second = await Fleet.start(t, { data: data.second, ...place })
  await pump.stop()
  await pump.start()
  const restored = await second.admin<Status>('status')
  assert.deepEqual([restored.devices, restored.incarnation.epoch, origin.incarnation.epoch], [1, 2, 1])
  assert.notEqual(restored.incarnation.id, origin.incarnation.id)
  assert.deepEqual(restored.twins, [], 'that agents have known the former one is as it should be')
  // A claim of before may have been used since: it is closed.
  const late = await run('adit-agent', ['enrol', '--claim', '-', '--state', join(first.folder, 'late')], { input: open })
  assert.match(late.stderr, /claim-revoked/)
  const met = (): Promise<{ met?: string[] }> =>
    import('node:fs').then(({ readFileSync }) => JSON.parse(readFileSync(join(pump.state, 'agent.json'), 'utf8')))
  const end = performance.now() + patienceMs
  while ((await met()).met?.[0] !== `2.${restored.incarnation.id}`) {
    assert.ok(performance.now() < end, 'the agent has met the restored broker')
    await wait(100)
  }

  // Somebody starts the old machine again.
  await second.broker.stop()
  await first.startBroker()
  await pump.stop()
  await pump.start()
  const later = await twinOf(first)
  assert.deepEqual([later.kind, later.id, later.toldBy], ['later', restored.incarnation.id, 'device:pump'])
  assert.match(
    await first.adminSays('status'),
    /WARNING {3}another broker of this fleet runs, restored from a backup of this one/,
  )
  assert.match(await first.adminSays('audit', '--limit', '20', '--json'), /"broker\.twin"/)

  // Somebody else has restored the same backup.
  await first.broker.stop()
  const third = await Fleet.start(t, { data: data.third, ...place })
  await pump.stop()
  await pump.start()
  const parallel = await twinOf(third)
  assert.deepEqual([parallel.kind, parallel.id], ['parallel', restored.incarnation.id])
})
