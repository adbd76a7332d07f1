import assert from 'node:assert/strict'
import test from 'node:test'
import { SshGreeting } from '#agent/operator/ssh-greeting.ts'

test('an sshd that is too busy is noticed in any split of its line, and the client’s words are kept for the next', () => {
  for (const text of ['Exceeded MaxStartups\r\n', 'Not allowed at this time\r\n']) {
    const greeting = new SshGreeting()
    greeting.clientSent(Buffer.from('SSH-2.0-x\r\n'))
    for (const byte of Buffer.from(text)) assert.equal(greeting.serverSent(Buffer.of(byte)).length, 0)
    assert.ok(greeting.refused)
    assert.equal(greeting.restart().toString(), 'SSH-2.0-x\r\n')
    assert.ok(!greeting.refused)
  }
})

test('whatever else a server says passes whole, and is no refusal', () => {
  for (const text of ['SSH-2.0-OpenSSH_9.2\r\n', 'Exceeded patience\r\n', 'Not', 'hello']) {
    const greeting = new SshGreeting()
    let shown = ''
    for (const byte of Buffer.from(text)) shown += greeting.serverSent(Buffer.of(byte)).toString()
    assert.ok(text === 'Not' ? shown === '' : shown === text)
    assert.ok(!greeting.refused)
  }
})

test('a client that has said much is not repeated', () => {
  const greeting = new SshGreeting()
  greeting.clientSent(Buffer.alloc(5000))
  greeting.serverSent(Buffer.from('Exceeded MaxStartups\r\n'))
  assert.ok(!greeting.refused)
  assert.equal(greeting.heldBack.toString(), 'Exceeded MaxStartups\r\n')
})
