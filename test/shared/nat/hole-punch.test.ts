import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Candidate } from '#shared/nat/candidate.ts'
import { HolePunch, type PunchOutput } from '#shared/nat/hole-punch.ts'
import { instant } from '#shared/time/instant.ts'

const at = (last: number, port = 4_000) => ({ address: `198.51.100.${last}`, port })
const reflexive = (last: number): Candidate => ({ kind: 'reflexive', endpoint: at(last) })

/** A punch that is run to `until`, and what it said when. */
function punch(candidates: readonly Candidate[], startAt = 0) {
  const machine = new HolePunch()
  const said: (PunchOutput & { at: number })[] = []
  const drain = (now: number) => {
    for (let output = machine.poll(); output !== undefined; output = machine.poll()) said.push({ ...output, at: now })
  }
  const run = (until: number) => {
    for (let due = machine.deadline(); due !== undefined && due.at <= until; due = machine.deadline()) {
      machine.handle({ kind: 'time' }, due.at)
      drain(due.at)
    }
  }
  machine.handle({ kind: 'start', candidates, at: instant(startAt) }, instant(0))
  drain(0)
  const probesOf = (address: string) => said.filter((one) => one.kind === 'probe' && one.to.address === address)
  return { machine, said, run, drain, probesOf }
}

test('both ends begin at the agreed moment, nine probes a place, paced, over after two seconds', () => {
  const { said, run, probesOf, machine } = punch([reflexive(1), reflexive(2)], 500)
  run(499)
  assert.equal(said.length, 0)
  run(10_000)
  assert.equal(probesOf('198.51.100.1').length, 9)
  assert.deepEqual([probesOf('198.51.100.1')[0]!.at, probesOf('198.51.100.2')[0]!.at], [500, 505])
  assert.deepEqual(said.at(-1), { kind: 'over', proven: false, at: 2_500 })
  assert.equal(machine.isRunning, false)
  assert.equal(machine.deadline(), undefined)
})

test('a moment that has passed means at once', () => {
  const { said } = punch([reflexive(1)], -5_000)
  assert.deepEqual(said[0], { kind: 'probe', to: at(1), at: 0 })
})

test('a place that has answered is left alone; when all have, the punch is over', () => {
  const { machine, said, run, drain, probesOf } = punch([reflexive(1), reflexive(2)])
  run(100)
  machine.handle({ kind: 'proven', endpoint: at(1) }, instant(100))
  run(500)
  assert.equal(probesOf('198.51.100.1').length, 2)
  assert.ok(probesOf('198.51.100.2').length > 3)
  machine.handle({ kind: 'proven', endpoint: at(2) }, instant(500))
  drain(500)
  assert.deepEqual(said.at(-1), { kind: 'over', proven: true, at: 500 })
})

test('of places that the other end did not name three are believed, and no more than twelve that it did', () => {
  const { machine, run, said, drain } = punch(Array.from({ length: 40 }, (_, i) => reflexive(i + 1)))
  for (let port = 1; port <= 10; port++) machine.handle({ kind: 'seen', endpoint: at(200, 5_000 + port) }, instant(1))
  drain(1)
  run(100)
  const places = new Set(said.flatMap((one) => (one.kind === 'probe' ? [`${one.to.address} ${one.to.port}`] : [])))
  assert.equal(places.size, 12 + 3)
})

test('nothing goes to a place that no stranger may send us to', () => {
  const endpoint = { address: '127.0.0.1', port: 22 }
  const { machine, run, said, drain } = punch([
    { kind: 'host', endpoint },
    { kind: 'host', endpoint: { address: '224.0.0.1', port: 9 } },
  ])
  machine.handle({ kind: 'seen', endpoint }, instant(1))
  drain(1)
  run(5_000)
  assert.ok(!said.some(({ kind }) => kind === 'probe'))
})
