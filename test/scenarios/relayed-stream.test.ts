import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'node:test'
import { Program } from '#test/lab/program.ts'
import { pinnedScene } from './pinned-scene.ts'

const patienceMs = 60_000
const total = 20_000_000

interface Way {
  readonly name: string
  readonly endToEnd: boolean
  readonly path: { readonly kind: string }
}

test('DESIGN D6 under a pinned key 20 MB go there and back through the relay, sealed end to end, byte by byte', async (t) => {
  const { ann } = await pinnedScene(t)
  const forward = Program.start('adit', ['forward', 'pump', '-L', '0:2323', '--path', 'relay', '--json'], { env: ann.env })
  t.after(() => forward.stop())
  const { listen } = await forward.event(({ event }) => event === 'listening', patienceMs)
  const stream = connect(Number(String(listen).split(':').at(-1)), '127.0.0.1')
  t.after(() => stream.destroy())
  const sent = randomBytes(total)
  const came = createHash('sha256')
  let length = 0
  stream.on('data', (chunk) => {
    came.update(chunk)
    length += chunk.length
  })
  const from = performance.now()
  const ended = once(stream, 'end', { signal: AbortSignal.timeout(3 * patienceMs) })
  stream.end(sent)
  await ended
  t.diagnostic(`${((2 * total) / 1e6 / ((performance.now() - from) / 1_000)).toFixed(1)} MB/s, both ways together`)
  assert.equal(length, total)
  assert.equal(came.digest('hex'), createHash('sha256').update(sent).digest('hex'))

  const { tunnel } = JSON.parse(await ann.must(['status', '--json'])) as { tunnel: { devices: Way[] } }
  const way = tunnel.devices.find(({ name }) => name === 'pump')
  assert.deepEqual([way?.endToEnd, way?.path.kind], [true, 'relay'])
})
