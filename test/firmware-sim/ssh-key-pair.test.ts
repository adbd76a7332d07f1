import assert from 'node:assert/strict'
import test from 'node:test'
import ssh2 from 'ssh2'
import { newSshKeyPair } from '#sim/ssh-key-pair.ts'

test('a thousand pairs, and every one can be read', () => {
  for (let i = 0; i < 1_000; i++) {
    const pair = newSshKeyPair()
    for (const text of [pair.private, pair.public]) assert.ok(!(ssh2.utils.parseKey(text) instanceof Error))
    assert.equal(Buffer.from(pair.public.split(' ')[1]!, 'base64').length, 51)
  }
})
