import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PathChoice, type PathOutput } from '#shared/nat/path-choice.ts'
import { instant } from '#shared/time/instant.ts'
import { carriedBy, type Endpoint, endpointText, sameEndpoint } from '#shared/wire/endpoint.ts'

const relay = carriedBy('overlay', 1)
const lan = { address: '192.168.1.9', port: 4_000 }
const wan = { address: '198.51.100.9', port: 4_000 }

/** A choice whose ways answer after so many ms, or not. */
function choosing(holdsOpen = true) {
  const choice = new PathChoice({ relay, holdsOpen }, 1)
  const trips = new Map<string, number>([[endpointText(relay), 80]])
  const uses: (Extract<PathOutput, { kind: 'use' }> & { at: number })[] = []
  let probes = 0
  let answers: { at: number; id: number; from: Endpoint }[] = []
  let now = 0
  const drain = () => {
    for (let output = choice.poll(); output !== undefined; output = choice.poll()) {
      if (output.kind === 'use') uses.push({ ...output, at: now })
      else {
        probes++
        const trip = trips.get(endpointText(output.to))
        if (trip !== undefined) answers.push({ at: now + trip, id: output.id, from: output.to })
      }
    }
  }
  const handle = (input: Parameters<PathChoice['handle']>[0]) => {
    choice.handle(input, instant(now))
    drain()
  }
  const run = (ms: number, sending = false) => {
    for (const end = now + ms; now < end; now += 10) {
      const due = answers.filter(({ at }) => at <= now)
      answers = answers.filter(({ at }) => at > now)
      for (const { id, from } of due) handle({ kind: 'answer', id, from })
      if (sending) handle({ kind: 'sent' })
      handle({ kind: 'time' })
    }
  }
  const answerAfter = (endpoint: Endpoint, ms: number | undefined) => {
    if (ms === undefined) trips.delete(endpointText(endpoint))
    else trips.set(endpointText(endpoint), ms)
  }
  return { choice, uses, handle, run, answerAfter, probes: () => probes, now: () => now }
}

test('a way counts only when a probe through it was answered through it', () => {
  const { choice, handle, run, answerAfter } = choosing()
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(2_000)
  assert.equal(choice.isDirect, false, 'no answer')
  handle({ kind: 'answer', id: 2, from: wan })
  handle({ kind: 'answer', id: 2, from: relay })
  handle({ kind: 'heard', from: lan })
  assert.equal(choice.isDirect, false, 'an answer from elsewhere, or something else from there')
  answerAfter(lan, 5)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(100)
  assert.ok(choice.isDirect && sameEndpoint(choice.used.endpoint, lan))
})

test('the LAN is preferred to the way round by the router; a way of the same rank must be much faster', () => {
  const { choice, handle, run, answerAfter, uses } = choosing()
  answerAfter(wan, 30)
  answerAfter(lan, 20)
  handle({ kind: 'try', endpoint: wan, as: 'reflexive' })
  run(100)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(100)
  assert.ok(sameEndpoint(choice.used.endpoint, lan))
  const second = { ...lan, port: 4_001 }
  answerAfter(second, 16)
  handle({ kind: 'try', endpoint: second, as: 'host' })
  run(100)
  assert.ok(sameEndpoint(choice.used.endpoint, lan), 'a little faster is not worth it')
  assert.deepEqual(
    uses.map(({ why }) => why),
    ['proven', 'better'],
  )
})

test('a way that falls silent under data is left within 2 s, held back, and believed again after two answers', () => {
  const { choice, handle, run, answerAfter, uses, now } = choosing()
  answerAfter(lan, 5)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(5_000, true)
  answerAfter(lan, undefined)
  const silentAt = now()
  run(3_500, true)
  assert.equal(uses.at(-1)?.why, 'silent')
  assert.ok(uses.at(-1)!.at - silentAt <= 3_000, `${uses.at(-1)!.at - silentAt} ms`)
  assert.equal(choice.isDirect, false)
  answerAfter(lan, 5)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(50, true)
  assert.equal(choice.isDirect, false, 'one answer, too early')
  run(2_000, true)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(50, true)
  assert.equal(choice.isDirect, true)
})

test('a far slower way does not replace the relay, until the relay is gone', () => {
  const { choice, handle, run, answerAfter, uses } = choosing()
  run(2_000, true)
  answerAfter(wan, 400)
  handle({ kind: 'try', endpoint: wan, as: 'reflexive' })
  run(600, true)
  assert.equal(choice.isDirect, false)
  handle({ kind: 'relay', up: false })
  assert.equal(choice.isDirect, true)
  assert.equal(uses.at(-1)?.why, 'relay-lost')
})

test('who only answers asks nothing while idle; who holds the way open asks before a hasty NAT forgets', () => {
  for (const holdsOpen of [true, false]) {
    const { handle, run, answerAfter, probes } = choosing(holdsOpen)
    answerAfter(lan, 5)
    handle({ kind: 'try', endpoint: lan, as: 'host' })
    run(1_000)
    const before = probes()
    run(120_000)
    const asked = probes() - before
    assert.ok(holdsOpen ? asked >= 5 && asked <= 9 : asked === 0, `${asked} probes`)
  }
})

test('after a move of ours every direct way has to prove itself anew', () => {
  const { choice, handle, run, answerAfter, now } = choosing()
  answerAfter(lan, 5)
  answerAfter(wan, 30)
  handle({ kind: 'try', endpoint: wan, as: 'reflexive' })
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(100)
  for (const endpoint of [lan, wan]) {
    assert.ok(choice.isProven(endpoint, instant(now())))
    answerAfter(endpoint, undefined)
  }
  handle({ kind: 'moved' })
  for (const endpoint of [lan, wan]) assert.equal(choice.isProven(endpoint, instant(now())), false)
  run(3_000, true)
  assert.equal(choice.isDirect, false, 'the other way does not stand in: it was proven elsewhere')
})
