import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import type { Operator } from '#test/lab/fleet.ts'
import { Program } from '#test/lab/program.ts'
import { pinnedScene } from './pinned-scene.ts'

/**
 * Under a pinned fleet key all goes inside the association of operator and device: a hub that lets its packets pass no longer brings the
 * device's resets no longer either. Whose right ends must hear of it all the same, and why.
 */

const patienceMs = 60_000
const endsWithinMs = 5_000

/** A stream to the pump that speaks every 50 ms, and when it was closed. */
class Talk {
  readonly forward: Program
  closedAt: number | undefined
  heardAt = 0

  private constructor(t: TestContext, forward: Program, socket: Socket) {
    this.forward = forward
    const ticking = setInterval(() => socket.writable && socket.write('tick'), 50)
    socket.on('error', () => {})
    socket.on('data', () => {
      this.heardAt = performance.now()
    })
    socket.once('close', () => {
      this.closedAt = performance.now()
      clearInterval(ticking)
    })
    t.after(() => clearInterval(ticking))
  }

  static async open(t: TestContext, ann: Operator, path: 'relay' | 'auto'): Promise<Talk> {
    const forward = Program.start('adit', ['forward', 'pump', '-L', '0:2323', '--path', path, '--json'], { env: ann.env })
    t.after(() => forward.stop())
    const { listen } = await forward.event(({ event }) => event === 'listening', patienceMs)
    const socket = connect(Number(String(listen).split(':').at(-1)), '127.0.0.1')
    t.after(() => socket.destroy())
    const talk = new Talk(t, forward, socket)
    await once(socket, 'data', { signal: AbortSignal.timeout(patienceMs) })
    return talk
  }

  /** Closed within 5 s of `from`, with a reason. */
  async ends(t: TestContext, from: number): Promise<void> {
    while (this.closedAt === undefined && performance.now() < from + endsWithinMs) await wait(20)
    t.diagnostic(
      `last heard ${(this.heardAt - from).toFixed(0)} ms, closed ${((this.closedAt ?? Number.NaN) - from).toFixed(0)} ms after`,
    )
    assert.ok(this.closedAt !== undefined, `open ${endsWithinMs} ms after the right has ended`)
    await wait(300)
    assert.match(this.forward.stderr, /"error":"forbidden"/)
    assert.match(this.forward.stderr, /pump/)
  }
}

for (const path of ['relay', 'auto'] as const)
  test(`D14 the last grant withdrawn under a pinned key: the session ends at once, and says why (${path})`, async (t) => {
    const { fleet, ann } = await pinnedScene(t)
    const talk = await Talk.open(t, ann, path)
    await wait(1_500)
    await fleet.admin('grant', 'revoke', '1')
    await talk.ends(t, performance.now())
    assert.equal(await ann.refused(['ssh', 'pump']), 'forbidden')
  })

test('D14 a grant that ends by its own date under a pinned key: the session ends then, and says why', async (t) => {
  let until = 0
  const { ann } = await pinnedScene(t, () => {
    until = Date.now() + 20_000
    return ['--until', new Date(until).toISOString()]
  })
  const talk = await Talk.open(t, ann, 'relay')
  await wait(Math.max(0, until - Date.now()))
  await talk.ends(t, performance.now())
})

test('D14 a revoked device under a pinned key: the session through the relay ends at once, and says why', async (t) => {
  const { fleet, ann } = await pinnedScene(t)
  const talk = await Talk.open(t, ann, 'relay')
  await wait(1_500)
  await fleet.admin('device', 'revoke', 'pump')
  await talk.ends(t, performance.now())
})
