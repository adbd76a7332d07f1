/** Issue 6, part 2: real programs provision boards by card, LAN and serial console, and the boards come up at a real broker. Needs root. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Board, BoardImage } from '#test/lab/board-image.ts'
import { Factory } from '#test/lab/factory.ts'

const serial = '10000000a1b2c3d4'

test('a card of a Raspberry Pi OS-like image: provisioned, first boot, enrolled and up; nothing of the identity is left on FAT', {
  timeout: 300_000,
}, async (t) => {
  const factory = await Factory.open(t)
  const image = new BoardImage(t)
  const before = image.bootBytes()
  const record = await factory.station('provision', serial, '--into', image.path)
  assert.equal(record.name, 'pump-1')
  assert.equal(image.fsck().status, 0, image.fsck().said)

  const board = image.powerOn(t)
  assert.ok(board.wants('adit-agent-adopt.service'))
  const adopted = board.run('adit-agent-adopt.service')
  assert.equal(adopted.status, 0, adopted.stderr)
  assert.match(adopted.stdout, /^This board is pump-1 now; the bundle is erased from \/boot\/firmware\./)
  assert.deepEqual(bundlesOf(board), [])
  assert.equal(readFileSync(board.path('boot/firmware/config.txt'), 'utf8'), 'arm_64bit=1\n')
  const state = board.path('var/lib/adit-agent')
  assert.equal(statSync(state).mode & 0o777, 0o700)
  for (const name of readdirSync(state)) assert.equal(statSync(join(state, name)).mode & 0o077, 0, name)
  assert.ok(!board.wants('adit-agent-adopt.service'), 'not at the second boot')

  const agent = board.start('adit-agent.service', '--mqtt', 'off', '--json')
  await agent.event(({ event }) => event === 'up', 60_000)
  assert.ok(await factory.has('pump-1'))
  // unshare passes no other signal on.
  await agent.stop('SIGKILL')
  const key = readFileSync(join(state, 'identity.key'), 'latin1').split('\n')[1]!
  board.powerOff()
  const after = image.bootBytes()
  assert.equal(after.indexOf(key), -1, 'the key is in no cluster')
  assert.equal(after.indexOf('ADITUNIT'), -1)
  assert.equal(image.fsck().status, 0, image.fsck().said)
  assert.equal(after.length, before.length)
  await factory.station('verify')
})

test('power cuts at first boot: the identity is neither lost nor doubled', { timeout: 300_000 }, async (t) => {
  const factory = await Factory.open(t)
  const image = new BoardImage(t)
  await factory.station('provision', serial, '--into', image.path)
  // After so long the power goes, in the middle of whatever it is; ms.
  const outcomes: string[] = []
  for (let moment = 150, done = false; !done && outcomes.length < 40; moment += 150) {
    const board = image.powerOn(t)
    if (board.wants('adit-agent-adopt.service')) board.run('adit-agent-adopt.service', moment)
    const has = (name: string): boolean => existsSync(board.path(`var/lib/adit-agent/${name}`))
    done = bundlesOf(board).length === 0
    assert.ok(!done || has('certificate.pem'), 'what is gone from the card is on the board')
    outcomes.push(
      `${moment} ms: ${done ? 'done' : has('certificate.pem') ? 'enrolled' : has('identity.key') ? 'keys' : 'nothing'}`,
    )
    board.powerOff()
  }
  const board = image.powerOn(t)
  if (board.wants('adit-agent-adopt.service')) assert.equal(board.run('adit-agent-adopt.service').status, 0)
  assert.ok(existsSync(board.path('var/lib/adit-agent/certificate.pem')))
  assert.deepEqual(bundlesOf(board), [])
  t.diagnostic(`first boot, cut after ${outcomes.join(', ')}`)
  assert.ok(outcomes.length > 1 && outcomes.at(-1)?.endsWith('done'), outcomes.join())
  const key = readFileSync(board.path('var/lib/adit-agent/identity.key'), 'latin1').split('\n')[1]!
  board.powerOff()
  assert.equal(image.bootBytes().indexOf(key), -1, 'the key is in no cluster')
  assert.equal(image.fsck().status, 0, image.fsck().said)
})

/** What is left of bundles on the boot partition. */
const bundlesOf = (board: Board): string[] => readdirSync(board.path('boot/firmware')).filter((name) => /adit/i.test(name))
