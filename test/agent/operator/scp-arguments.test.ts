import assert from 'node:assert/strict'
import test from 'node:test'
import { scpWords } from '#agent/operator/scp-arguments.ts'

const around = { program: ['/usr/bin/node', '/opt/a b/adit.js'], knownHosts: '/state/known_hosts' }

test('devices get the name by which ssh knows them, local files stay', () => {
  const { devices, words } = scpWords(['-r', '-P', '2222', '-i', 'key', './a:b', 'root@Pi:/etc/hosts', 'box.adit:x y', 'out'])
  assert.deepEqual(devices, ['Pi', 'box'])
  const spoken = words('pinned', around)
  assert.deepEqual(spoken.slice(spoken.indexOf('--') + 1), ['./a:b', 'root@Pi.adit:/etc/hosts', 'box.adit:x y', 'out'])
  assert.deepEqual(spoken.slice(2, 7), ['-r', '-P', '2222', '-i', 'key'])
  assert.equal(spoken[1], "ProxyCommand=/usr/bin/node '/opt/a b/adit.js' proxy %h %p")
})

test('a copy that touches no device, or names one file, is refused', () => {
  assert.throws(() => scpWords(['a', 'b']), { code: 'usage' })
  assert.throws(() => scpWords(['pi:a']), { code: 'usage' })
})
