import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type Finished, Program, run } from '#test/lab/program.ts'

test('P-17 a line goes on over an extension and a rotation of the device CA: it issues offline, and syncs into the new chain by itself', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-renewal-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const data = join(folder, 'data')
  const broker = (...words: string[]) => run('adit-broker', [...words, '--data', data, '--json'])
  const station = (...words: string[]) => run('adit', ['station', ...words, '--state', join(folder, 'station'), '--json'])
  const said = ({ status, stdout, stderr }: Finished) => {
    assert.equal(status, 0, stderr)
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  }
  const cards = join(folder, 'cards')
  const provision = async (serial: string, ...more: string[]) => {
    mkdirSync(join(cards, serial), { recursive: true })
    return station('provision', serial, '--into', join(cards, serial), ...more)
  }
  const running = Program.start('adit-broker', [
    'run',
    '--data',
    data,
    '--listen',
    '127.0.0.1:0',
    '--api',
    '127.0.0.1:0',
    '--json',
  ])
  t.after(() => running.stop('SIGKILL'))
  await running.event(({ event }) => event === 'ready', 60_000)

  const terms = ['--name', 'line-1', '--names', 'pump-{n}', '--quota', '1', '--ttl', '10d']
  const { claim } = said(await broker('station', 'authorize', ...terms))
  said(await run('adit', ['station', 'init', '--claim', '-', '--state', join(folder, 'station'), '--json'], { input: claim }))
  said(await provision('cpu1', '--offline'))
  const refused = await provision('cpu2', '--offline')
  assert.notEqual(refused.status, 0)
  assert.match(refused.stdout + refused.stderr, /quota-exhausted/)

  const extended = said(await broker('station', 'extend', 'line-1', '--quota', '3', '--ttl', '30d'))
  assert.deepEqual([extended.quota, extended.first, extended.last], [3, 1, 3])
  const renewed = said(await station('renew'))
  assert.deepEqual([renewed.changed, renewed.quota, renewed.quotaLeft], [true, 3, 2])
  assert.equal(renewed.until.slice(0, 19), extended.until.slice(0, 19), 'certificates count in seconds')
  assert.equal(said(await station('renew')).changed, false)
  said(await provision('cpu2', '--offline'))

  for (const more of [[], [], [], ['--force']]) said(await broker('ca', 'rotate', 'device', ...more))
  said(await provision('cpu3', '--offline'))
  assert.deepEqual(said(await station('sync')).conflicts, 0)
  assert.equal(said(await station('verify')).certificates, 3)
  const shown = said(await broker('station', 'show', 'line-1'))
  assert.deepEqual([shown.issued, shown.quota, shown.units.length], [3, 3, 3])
  const audit = await broker('audit')
  assert.equal(audit.status, 0, audit.stderr)
  const times = (action: string) => audit.stdout.split(`"action":"${action}"`).length - 1
  assert.equal(times('station.extend'), 1)
  assert.equal(times('station.delegate'), 3, 'at the beginning, extended, and below the next CA')
})
