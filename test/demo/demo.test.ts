import assert from 'node:assert/strict'
import test from 'node:test'
import { demo } from '#test/demo/demo.ts'

async function steps(broken?: 'nat' | 'sshd' | 'broker'): Promise<{ lines: string[]; error: unknown }> {
  const lines: string[] = []
  const patience = broken ? 20_000 : 60_000
  const error = await demo({ devices: 2, broken, patience, say: (line) => lines.push(line) }).catch((caught) => caught)
  return { lines, error }
}

test('the demonstration truly happens', async () => {
  const { lines, error } = await steps()
  assert.equal(error, undefined, `${lines.join('\n')}\n${String(error)}`)
  assert.match(lines.at(-1)!, /truly happened/)
})

const breakages = [
  { broken: 'nat', failing: /FAIL.*devices enrol and open tunnels through a NAT/ },
  { broken: 'sshd', failing: /FAIL.*adit ssh pi-1/ },
  { broken: 'broker', failing: /FAIL.*adit devices/ },
] as const

for (const { broken, failing } of breakages)
  test(`it fails, at the right step, with a broken ${broken}`, async () => {
    const { lines, error } = await steps(broken)
    assert.ok(error instanceof Error)
    assert.match(lines.at(-1)!, failing)
  })
