import assert from 'node:assert/strict'
import test from 'node:test'
import { parseSshArguments } from '#agent/operator/ssh-arguments.ts'
import { sshWords } from '#agent/operator/ssh-command.ts'

const around = { program: ['node', "/o'd/50%/adit.js"], knownHosts: '/my state/known_hosts' }

test('the road is ours, the rest is the user’s, and host keys are the pinned ones alone', () => {
  const words = sshWords('pi', parseSshArguments(['-o', 'ProxyCommand=evil', '-l', 'ann', 'pi', 'ls', '-l']), 'pinned', around)
  assert.equal(words[1], `ProxyCommand=node '/o'\\''d/50%%/adit.js' proxy pi 22`)
  assert.ok(words.indexOf('ProxyCommand=evil') > 1)
  assert.ok(words.includes('UserKnownHostsFile="/my state/known_hosts"'))
  assert.ok(words.includes('GlobalKnownHostsFile=/dev/null'))
  assert.ok(words.includes('StrictHostKeyChecking=yes'))
  assert.deepEqual(words.slice(words.indexOf('--')), ['--', 'pi.adit', 'ls', '-l'])
})

test('a device without our agent is trusted at first use, and never again anew', () => {
  const words = sshWords('pi', parseSshArguments(['pi']), 'first-use', around)
  assert.ok(words.includes('StrictHostKeyChecking=accept-new'))
})
