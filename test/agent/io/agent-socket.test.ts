import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { AgentSocketServer, askAgent } from '#agent/io/agent-socket.ts'

test("in a folder of any depth the socket lies there, is its owner's alone, and goes with the agent", async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'adit-agent-socket-'))
  t.after(() => rmSync(root, { recursive: true }))
  // A path that ends in the middle of a name would be cut there, and the socket made in a folder that others may enter.
  for (const name of ['state', 'größe-'.repeat(25)]) {
    const folder = join(root, name)
    mkdirSync(folder, { mode: 0o700 })
    const path = join(folder, 'agent.sock')
    for (let start = 1; start <= 2; start++) {
      const server = new AgentSocketServer(async () => ({ start }))
      await server.listen(path)
      assert.equal(statSync(path).mode & 0o777, 0o600)
      assert.deepEqual(readdirSync(folder), ['agent.sock'])
      assert.deepEqual(await askAgent(path, { op: 'status' }), { start })
      await server.close()
      assert.equal(existsSync(path), false)
    }
    await assert.rejects(askAgent(path, { op: 'status' }), { code: 'tunnel-unreachable' })
  }
  assert.deepEqual(readdirSync(root).length, 2, 'nothing beside the folders')
})
