import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StunQuestions } from '#agent/core/stun-questions.ts'
import { instant } from '#shared/time/instant.ts'
import { answerBinding } from '#shared/wire/stun-answer.ts'
import { seededSuite } from '#test/shared/tunnel/virtual-link.ts'

const broker = { address: '198.51.100.2', port: 4_500 }
const seen = { address: '192.0.2.1', port: 50_000 }
const answerTo = (question: Uint8Array): Uint8Array => answerBinding(question, seen)!

test('an answer tells whose it is, where we are and how long it took, once', () => {
  const questions = new StunQuestions(seededSuite(1))
  const question = questions.ask(broker, instant(100)).slice()
  const answer = answerTo(question)
  assert.ok(answer.length <= question.length)
  assert.deepEqual(questions.take(answer, broker, instant(140)), { endpoint: broker, address: seen, roundTrip: 40 })
  assert.equal(questions.take(answer, broker, instant(141)), undefined)
})

test('an answer from elsewhere, to another question, cut short or of noise is none', () => {
  const questions = new StunQuestions(seededSuite(2))
  const answer = answerTo(questions.ask(broker, instant(0)).slice())
  assert.equal(questions.take(answer, { ...broker, port: 4_501 }, instant(1)), undefined)
  assert.equal(
    questions.take(answerTo(new StunQuestions(seededSuite(3)).ask(broker, instant(0)).slice()), broker, instant(1)),
    undefined,
  )
  for (let length = 0; length < answer.length; length++)
    assert.equal(questions.take(answer.subarray(0, length), broker, instant(1)), undefined, `${length} bytes`)
  assert.notEqual(questions.take(answer, broker, instant(2)), undefined, 'the question is still open')
})

test('of questions that nobody answers the last 32 are remembered', () => {
  const questions = new StunQuestions(seededSuite(4))
  const asked = Array.from({ length: 33 }, () => questions.ask(broker, instant(0)).slice())
  assert.equal(questions.take(answerTo(asked[0]!), broker, instant(1)), undefined)
  assert.notEqual(questions.take(answerTo(asked[1]!), broker, instant(1)), undefined)
})
