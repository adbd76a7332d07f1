import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { type Finished, Program, run } from '#test/lab/program.ts'

test('a line from its authorisation to its end: by the broker, by itself, with a failure, a retry, a scrapped board', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-factory-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const data = join(folder, 'data')
  const state = ['--state', join(folder, 'station'), '--json']
  const broker = (...words: string[]) => run('adit-broker', [...words, '--data', data, '--json'])
  const station = (...words: string[]) => run('adit', ['station', ...words, ...state])
  const lastLine = ({ stdout }: Finished) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '')
  const said = (finished: Finished) => {
    assert.equal(finished.status, 0, finished.stderr)
    return lastLine(finished)
  }
  const startBroker = async (api: string): Promise<Program> => {
    const running = Program.start('adit-broker', ['run', '--data', data, '--listen', '127.0.0.1:0', '--api', api, '--json'])
    t.after(() => running.stop('SIGKILL'))
    await running.event(({ event }) => event === 'ready', 60_000)
    return running
  }

  const running = await startBroker('127.0.0.1:0')

  const authorised = said(
    await broker(
      'station',
      'authorize',
      '--name',
      'line-1',
      '--names',
      'pump-{n}',
      '--tag',
      'pumps',
      '--quota',
      '5',
      '--ttl',
      '30d',
    ),
  )
  const made = await run('adit', ['station', 'init', '--claim', '-', ...state], { input: authorised.claim })
  assert.deepEqual([said(made).station, said(made).quota], ['line-1', 5])

  const cable = join(folder, 'ttyUSB9')
  const waited = await run('adit', [
    'station',
    'provision',
    'cpu1',
    '--serial',
    cable,
    ...state.filter((word) => word !== '--json'),
  ])
  assert.notEqual(waited.status, 0)
  assert.match(
    waited.stderr,
    new RegExp(`Waiting for the board at ${cable}: power it on\\.[^]*${cable}`),
    'what to do, and what is wrong',
  )

  const cards = join(folder, 'cards')
  for (const serial of ['cpu1', 'cpu2']) mkdirSync(join(cards, serial), { recursive: true })
  // Neither a folder nor the image of a card.
  writeFileSync(join(cards, 'cpu3'), 'a note')
  const list = join(folder, 'boards.csv')
  writeFileSync(list, 'serial\nCPU1\nCPU2\nCPU3\n')
  const into = ['--into', join(cards, '{serial}')]
  const first = await station('batch', '--csv', list, ...into)
  assert.equal(first.status, 1)
  const told = lastLine(first)
  assert.deepEqual(
    [told.delivered, told.failed.map(({ serial, error }: { serial: string; error: string }) => [serial, error])],
    [2, [['cpu3', 'card-refused']]],
  )
  assert.deepEqual(readdirSync(join(cards, 'cpu1')), ['adit-id.bin'])
  rmSync(join(cards, 'cpu3'))

  // The broker goes: the station goes on.
  await running.stop()
  const again = said(await station('batch', '--retry', ...into))
  assert.deepEqual([again.delivered, again.failed], [1, []])
  assert.equal(said(await station('scrap', 'pump-2', '--reason', 'dead flash')).scrappedFor, 'dead flash')
  assert.equal((await station('sync')).status, 4)
  assert.deepEqual(said(await station('verify')).delivered, 2)

  await startBroker(new URL(authorised.api[0]).host)
  assert.equal(said(await station('sync')).conflicts, 0)
  const shown = said(await broker('station', 'show', 'line-1'))
  const units = shown.units
    .map(({ unit, name, state: now }: { unit: string; name: string; state: string }) => [unit, name, now])
    .sort()
  assert.deepEqual(units, [
    ['cpu1', 'pump-1', 'delivered'],
    ['cpu2', 'pump-2', 'scrapped'],
    ['cpu3', 'pump-3', 'delivered'],
  ])
  assert.equal(said(await broker('station', 'revoke', 'line-1', '--with-units')).unitsRevoked, 2)
  assert.deepEqual(said(await broker('station', 'conflicts')), [])
})
