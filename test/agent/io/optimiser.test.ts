import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'node:test'
import { Optimiser } from '#agent/io/optimiser.ts'
import { type Instant, instant } from '#shared/time/instant.ts'

/** An agent that carries so many datagrams a second. */
class Agent {
  begun = 0
  #now: Instant = instant(1_000_000)
  readonly #optimiser = new Optimiser({
    clock: { now: () => this.#now },
    begin: () => {
      this.begun += 1
    },
  })

  carry(perSecond: number, seconds: number): this {
    for (const end = this.#now + seconds * 1_000; this.#now < end; ) {
      this.#now = instant(this.#now + 1_000 / perSecond)
      this.#optimiser.datagram()
    }
    return this
  }
}

test('a copy has the compiler after some ten megabytes, and is given it once', () => {
  const agent = new Agent().carry(5_000, 1.6)
  assert.equal(agent.begun, 0)
  agent.carry(5_000, 0.6)
  assert.equal(agent.begun, 1)
  assert.equal(agent.carry(5_000, 60).begun, 1)
})

test('a copy on a slow way or a busy machine has it too, later', () => {
  assert.equal(new Agent().carry(1_000, 20).begun, 1)
})

test('readings and shells never have it, for days', () => {
  const agent = new Agent()
  // Ten readings a second, and each ten seconds a shell that prints two megabytes.
  for (let i = 0; i < 8_640; i++) agent.carry(60, 9.5).carry(5_000, 0.5)
  assert.equal(agent.begun, 0)
})

test('what was carried before a rest is not held against it', () => {
  const agent = new Agent()
  for (let i = 0; i < 100; i++) agent.carry(5_000, 1.5).carry(1, 60)
  assert.equal(agent.begun, 0)
})

test('V8 compiles no hot function until work begins, and does then', () => {
  const root = join(import.meta.dirname, '..', '..', '..')
  const io = join(root, 'agent', 'io')
  const program = `
    import ${JSON.stringify(join(io, 'small-heap.ts'))}
    import { beginOptimising } from ${JSON.stringify(join(io, 'optimiser.ts'))}
    function hotPlace(n) { let sum = 0; for (let i = 0; i < n; i++) sum = (sum + i * 3) | 0; return sum }
    const work = () => { for (let i = 0; i < 100_000; i++) hotPlace(1000) }
    work()
    console.log('work begins')
    beginOptimising()
    work()`
  const words = ['--trace-opt', '--import', 'tsx', '--input-type=module', '--eval', program]
  const said = execFileSync(process.execPath, words, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const [before, after] = said.split('work begins')
  const compiled = /completed optimizing.*hotPlace/
  assert.deepEqual([compiled.test(before!), compiled.test(after!)], [false, true])
})
