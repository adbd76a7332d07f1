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
  let answers: { at: number; id: number; from: Endpoint; full: boolean }[] = []
  /** Places to which only small probes pass. */
  const small = new Set<string>()
  const fulls: { at: number; to: Endpoint }[] = []
  let now = 0
  const drain = () => {
    for (let output = choice.poll(); output !== undefined; output = choice.poll()) {
      if (output.kind === 'use') uses.push({ ...output, at: now })
      else {
        probes++
        const { id, to, full } = output
        if (full) fulls.push({ at: now, to })
        const trip = trips.get(endpointText(to))
        if (trip !== undefined && !(full && small.has(endpointText(to)))) answers.push({ at: now + trip, id, from: to, full })
      }
    }
  }
  const handle = (input: Parameters<PathChoice['handle']>[0]) => {
    choice.handle(input, instant(now))
    drain()
  }
  /** `sending`: packets go out; `'large'` ones, or such that nothing of the user's comes back. */
  const run = (ms: number, sending: boolean | 'large' | 'in vain' = false) => {
    for (const end = now + ms; now < end; now += 10) {
      const due = answers.filter(({ at }) => at <= now)
      answers = answers.filter(({ at }) => at > now)
      for (const { id, from, full } of due) handle({ kind: 'answer', id, from, full })
      if (sending) handle({ kind: 'sent', isLarge: sending !== true })
      if (sending === 'large') handle({ kind: 'heard', from: choice.used.endpoint, isUsers: true })
      handle({ kind: 'time' })
    }
  }
  const answerAfter = (endpoint: Endpoint, ms: number | undefined) => {
    if (ms === undefined) trips.delete(endpointText(endpoint))
    else trips.set(endpointText(endpoint), ms)
  }
  const carry = (endpoint: Endpoint, size: 'small' | 'all') => {
    if (size === 'small') small.add(endpointText(endpoint))
    else small.delete(endpointText(endpoint))
  }
  return { choice, uses, handle, run, answerAfter, carry, fulls, probes: () => probes, now: () => now }
}

test('a way counts only when a probe through it was answered through it', () => {
  const { choice, handle, run, answerAfter } = choosing()
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(2_000)
  assert.equal(choice.isDirect, false, 'no answer')
  for (const [id, full] of [
    [2, false],
    [3, true],
  ] as const) {
    handle({ kind: 'answer', id, from: wan, full })
    handle({ kind: 'answer', id, from: relay, full })
    // As long as the other one was.
    handle({ kind: 'answer', id, from: lan, full: !full })
  }
  handle({ kind: 'heard', from: lan, isUsers: true })
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

test('a way that falls silent under data is left within a second, held back, and believed again after two answers', () => {
  const { choice, handle, run, answerAfter, uses, now } = choosing()
  answerAfter(lan, 5)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(5_000, true)
  answerAfter(lan, undefined)
  const silentAt = now()
  run(3_500, true)
  assert.equal(uses.at(-1)?.why, 'silent')
  assert.ok(uses.at(-1)!.at - silentAt <= 1_050, `${uses.at(-1)!.at - silentAt} ms`)
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

test('whoever hears by the relay what the other end sent, and nothing by the way in use, leaves that a moment sooner', () => {
  const took = [false, true].map((isLeft) => {
    const { choice, handle, run, answerAfter, uses, now } = choosing()
    answerAfter(lan, 5)
    handle({ kind: 'try', endpoint: lan, as: 'host' })
    run(5_020, 'large')
    answerAfter(lan, undefined)
    const from = now()
    for (let step = 0; step < 200 && choice.isDirect; step++) {
      handle({ kind: 'sent', isLarge: false })
      if (isLeft) handle({ kind: 'heard', from: relay, isUsers: true })
      run(10)
    }
    return uses.at(-1)!.at - from
  })
  assert.ok(took[1]! <= 750 && took[1]! < took[0]! && took[0]! <= 1_050, `${took.join(', ')} ms`)
})

test('a way by which nothing comes but the answers to probes is kept, and asked no more than thrice a second', () => {
  const { choice, handle, run, answerAfter, probes } = choosing()
  answerAfter(lan, 5)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(1_000, true)
  const before = probes()
  run(60_000, true)
  assert.ok(choice.isDirect)
  assert.ok(probes() - before <= 200, `${probes() - before}`)
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

test('a way that answers small probes alone is not used, and said to be so; once it carries all it is', () => {
  const { choice, handle, run, answerAfter, carry, now } = choosing()
  answerAfter(wan, 30)
  carry(wan, 'small')
  const punch = () => {
    for (let round = 0; round < 8; round++) {
      handle({ kind: 'try', endpoint: wan, as: 'reflexive' })
      run(100)
    }
  }
  for (let minute = 0; minute < 5; minute++) {
    punch()
    run(minute === 4 ? 0 : 60_000, true)
    assert.equal(choice.isDirect, false)
    assert.equal(choice.isProven(wan, instant(now())), false)
    assert.ok(choice.isOnlySmall(instant(now())))
  }
  carry(wan, 'all')
  run(60_000)
  punch()
  assert.equal(choice.isDirect, true)
  assert.equal(choice.isOnlySmall(instant(now())), false)
})

test('without the relay a way that carries small packets alone does not stand in for it', () => {
  const { choice, handle, run, answerAfter, carry } = choosing()
  answerAfter(wan, 30)
  carry(wan, 'small')
  handle({ kind: 'try', endpoint: wan, as: 'reflexive' })
  run(500)
  handle({ kind: 'relay', up: false })
  assert.equal(choice.isDirect, false)
})

test('a way that shrinks is left within 15 s while large packets are answered, within 5 s where they are not', () => {
  for (const [sending, within] of [
    ['large', 15_000],
    ['in vain', 5_000],
  ] as const) {
    const { choice, handle, run, answerAfter, carry, uses, now } = choosing()
    answerAfter(lan, 5)
    handle({ kind: 'try', endpoint: lan, as: 'host' })
    run(20_000, 'large')
    assert.equal(choice.isDirect, true)
    carry(lan, 'small')
    const from = now()
    run(within, sending)
    assert.equal(uses.at(-1)?.why, 'too-small')
    assert.ok(uses.at(-1)!.at - from <= within)
    assert.ok(choice.isOnlySmall(instant(now())))
  }
})

test('full probes are few: none without large packets, one in 10 s with them, and a handful to places that have not spoken', () => {
  const { handle, run, answerAfter, fulls } = choosing()
  for (let round = 0; round < 9; round++) {
    for (let port = 5_000; port < 5_012; port++) handle({ kind: 'try', endpoint: { ...wan, port }, as: 'reflexive' })
    run(100)
  }
  assert.equal(fulls.length, 16)
  handle({ kind: 'moved' })
  fulls.length = 0
  answerAfter(lan, 5)
  handle({ kind: 'try', endpoint: lan, as: 'host' })
  run(60_000, true)
  assert.equal(fulls.length, 1)
  run(60_000, 'large')
  assert.ok(fulls.length >= 6 && fulls.length <= 8, `${fulls.length}`)
})

test('of a place that speaks and loses every full probe, few are asked', () => {
  const { handle, run, answerAfter, carry, fulls } = choosing()
  answerAfter(lan, 5)
  carry(lan, 'small')
  for (let second = 0; second < 600; second++) {
    handle({ kind: 'try', endpoint: lan, as: 'host', heard: 'full' })
    run(1_000)
  }
  assert.ok(fulls.length <= 16 + 16 + 60, `${fulls.length}`)
})
