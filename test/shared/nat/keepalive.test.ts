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
  for (const [i, size] of sizes.entries()) assert.equal(size, i === 0 ? 44 : i % 6 === 1 ? 32 : 1, `keepalive ${i}`)
  const gaps = sent.slice(2).map(({ at }, i) => at - sent[i + 1]!.at)
  assert.equal(sent[1]!.at, 2_500, 'the new mapping is aged')
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
  const questions = said.filter(({ at, output }) => output.kind === 'send' && output.datagram.length > 1 && at > 100_000)
  assert.equal(questions.length, 2)
  assert.ok(why[0]!.at - questions[0]!.at <= 4_000)
})

test('an answer may take three round trips where those are longer than 2 s', () => {
  const place = { port: 5, answers: true }
  const { keepalive, run, of } = path(3, place)
  run(100_000)
  keepalive.handle({ kind: 'round-trip', roundTrip: milliseconds(2_100) }, instant(100_000))
  place.answers = false
  run(200_000)
  const questions = of('send').filter(({ at, output }) => output.kind === 'send' && output.datagram.length > 1 && at > 100_000)
  assert.equal(questions[1]!.at - questions[0]!.at, 6_300)
  assert.equal(of('handshake-now')[0]!.at - questions[1]!.at, 6_300)
})

test('other traffic holds the mapping too; a learnt interval replaces the first one; stopped is silent', () => {
  const { keepalive, run, said } = path(4, { port: 5, answers: true })
  run(5_000)
  const before = said.length
  for (let at = 10_000; at <= 100_000; at += 10_000) {
    run(at)
    keepalive.handle({ kind: 'sent' }, instant(at))
  }
  assert.equal(said.length, before)
  keepalive.handle({ kind: 'learned', interval: milliseconds(110_000) }, instant(100_000))
  keepalive.handle({ kind: 'interval', interval: milliseconds(25_000) }, instant(100_000))
  keepalive.handle({ kind: 'sent' }, instant(100_000))
  const due = keepalive.deadline()!.at
  assert.ok(due >= 208_900 && due <= 211_100, 'one percent of spread is left to it')
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

test('P-05 a learned interval is proven by questions first; a mapping lost within it costs one interval, and the default is back', () => {
  const place = { port: 5, answers: true }
  const { keepalive, run, drain, of, said } = path(6, place)
  run(10_000)
  keepalive.handle({ kind: 'learned', interval: milliseconds(110_000) }, instant(10_000))
  run(350_000)
  assert.deepEqual(
    of('send')
      .slice(2)
      .map(({ output }) => output.kind === 'send' && output.datagram.length),
    [32, 32, 1],
  )
  assert.equal(of('binding-lost').length, 0)
  run(400_000)
  place.port = 6
  const lostAt = 400_000
  run(lostAt + 6 * 111_000)
  const lost = of('binding-lost')
  assert.deepEqual(
    lost.map(({ output }) => output),
    [{ kind: 'binding-lost', interval: 110_000 }],
  )
  assert.equal(keepalive.interval, 25_000)
  const next = said.find(({ at, output }) => output.kind === 'send' && at > lost[0]!.at)
  assert.ok(next && next.at - lost[0]!.at <= 27_500, 'the next keepalive comes after the default interval')
  drain()
})

test('behind a NAT that forgets in half a minute every eighth keepalive is the question', () => {
  const { keepalive, run, of } = path(7, { port: 5, answers: true })
  run(1_000)
  keepalive.handle({ kind: 'learned', interval: milliseconds(27_800) }, instant(1_000))
  run(3_600_000)
  const sizes = of('send')
    .slice(4)
    .map(({ output }) => (output.kind === 'send' ? output.datagram.length : 0))
  const questions = sizes.flatMap((size, i) => (size === 1 ? [] : [i]))
  assert.ok(questions.length > 10)
  for (const [i, at] of questions.slice(1).entries()) assert.equal(at - questions[i]!, 8)
})

test('on demand nothing holds the mapping but one question each quarter of an hour; traffic wakes it for a minute', () => {
  const { keepalive, run, of } = path(8, { port: 5, answers: true })
  keepalive.handle({ kind: 'sleep', poll: milliseconds(900_000) }, instant(0))
  run(10 * 900_000)
  const sent = of('send')
  assert.ok(sent.length >= 10 && sent.length <= 12, `${sent.length}`)
  for (const { output } of sent) assert.ok(output.kind === 'send' && output.datagram.length > 1)
  const before = sent.length
  const from = 10 * 900_000
  for (let at = from; at < from + 50_000; at += 10_000) {
    run(at)
    keepalive.handle({ kind: 'traffic' }, instant(at))
  }
  run(from + 110_000)
  const held = of('send').length - before
  assert.ok(held >= 2 && held <= 4, `${held} keepalives while it was awake`)
  run(from + 110_000 + 600_000)
  assert.ok(of('send').length - before - held <= 1)
})

test('a mapping that the default interval had lost before is no fault of the learned one', () => {
  const place = { port: 5, answers: true }
  const { keepalive, run, of } = path(10, place)
  run(20_000)
  place.port = 6
  keepalive.handle({ kind: 'learned', interval: milliseconds(14_000) }, instant(20_000))
  run(200_000)
  assert.equal(of('handshake-now').length, 1)
  assert.equal(of('binding-lost').length, 0)
  place.port = 7
  run(400_000)
  assert.equal(of('binding-lost').length, 1)
})

test('a learned interval counts from the last datagram, not from when it was learned', () => {
  const { keepalive, run } = path(9, { port: 5, answers: true })
  run(20_000)
  keepalive.handle({ kind: 'learned', interval: milliseconds(110_000) }, instant(20_000))
  assert.ok(keepalive.deadline()!.at <= 2_500 + 111_100)
})
