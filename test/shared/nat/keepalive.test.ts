import assert from 'node:assert/strict'
import test from 'node:test'
import { type KeepaliveOutput, NatKeepalive } from '#shared/nat/keepalive.ts'
import { type Instant, instant, milliseconds } from '#shared/time/instant.ts'
import { answerBinding } from '#shared/wire/stun-answer.ts'
import { seededSuite } from '../tunnel/virtual-link.ts'

/** A keepalive whose broker answers, or not, from where `place` says. */
function path(seed: number, place: { port: number; answers: boolean }) {
  const keepalive = new NatKeepalive({ suite: seededSuite(seed) })
  const said: { at: number; output: KeepaliveOutput }[] = []
  let now = 0
  const drain = () => {
    for (let output = keepalive.poll(); output !== undefined; output = keepalive.poll()) {
      said.push({ at: now, output })
      if (output.kind !== 'send' || !place.answers) continue
      const answer = answerBinding(output.datagram, { address: '192.0.2.1', port: place.port })
      if (answer) keepalive.handle({ kind: 'stun', datagram: answer }, instant(now))
    }
  }
  const run = (until: number) => {
    for (let due = keepalive.deadline(); due !== undefined && due.at <= until; due = keepalive.deadline()) {
      now = due.at
      keepalive.handle({ kind: 'time' }, instant(now))
      drain()
    }
    now = until
  }
  keepalive.handle({ kind: 'start' }, 0 as Instant)
  drain()
  return { keepalive, said, run, drain, of: (kind: KeepaliveOutput['kind']) => said.filter(({ output }) => output.kind === kind) }
}

test('one byte FF each 25 s ± 10 %, every sixth a padded question', () => {
  const { run, of } = path(1, { port: 5, answers: true })
  run(3_600_000)
  const sent = of('send')
  const sizes = sent.map(({ output }) => (output.kind === 'send' ? output.datagram.length : 0))
  for (const [i, size] of sizes.entries()) assert.equal(size, i % 6 === 0 ? 44 : 1, `keepalive ${i}`)
  const gaps = sent.slice(1).map(({ at }, i) => at - sent[i]!.at)
  assert.ok(gaps.every((gap) => gap >= 22_500 && gap <= 27_500))
  assert.ok(new Set(gaps.map(Math.round)).size > 50, 'jittered')
  assert.equal(of('reflexive').length, 1)
  assert.equal(of('handshake-now').length, 0)
})

test('a changed reflexive address forces a handshake at once', () => {
  const place = { port: 5, answers: true }
  const { run, of, keepalive } = path(2, place)
  run(100_000)
  place.port = 6
  run(300_000)
  assert.deepEqual(
    of('handshake-now').map(({ output }) => output.kind === 'handshake-now' && output.why),
    ['moved'],
  )
  assert.equal(keepalive.reflexive?.port, 6)
})

test('two silences force a handshake: within 4 s of the question, not after one lost answer', () => {
  const place = { port: 5, answers: true }
  const { run, of, said } = path(3, place)
  run(100_000)
  place.answers = false
  run(200_000)
  const why = of('handshake-now')
  assert.equal(why.length, 1)
  const questions = said.filter(({ at, output }) => output.kind === 'send' && output.datagram.length === 44 && at > 100_000)
  assert.equal(questions.length, 2)
  assert.ok(why[0]!.at - questions[0]!.at <= 4_000)
})

test('other traffic holds the mapping too; a learnt interval replaces the first one; stopped is silent', () => {
  const { keepalive, run, said } = path(4, { port: 5, answers: true })
  const before = said.length
  for (let at = 10_000; at <= 100_000; at += 10_000) {
    run(at)
    keepalive.handle({ kind: 'sent' }, instant(at))
  }
  assert.equal(said.length, before)
  keepalive.handle({ kind: 'interval', interval: milliseconds(110_000) }, instant(100_000))
  const due = keepalive.deadline()!.at
  assert.ok(due >= 199_000 && due <= 221_000)
  keepalive.handle({ kind: 'stop' }, instant(100_000))
  assert.equal(keepalive.deadline(), undefined)
})

test('nothing that a stranger sends moves us', () => {
  const { keepalive, said, drain } = path(5, { port: 5, answers: false })
  const before = said.length
  for (let i = 0; i < 1000; i++) keepalive.handle({ kind: 'stun', datagram: seededSuite(i).random(44) }, instant(1))
  drain()
  assert.equal(said.length, before)
})
