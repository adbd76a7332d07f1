import assert from 'node:assert/strict'
import test from 'node:test'
import { tunnelSocketPath } from '#agent/operator/socket-path.ts'

const machine = { runtimeFolder: '/run/user/1000', temporaryFolder: '/tmp', uid: 1000 }
const hash = (): string => '0123456789abcdef'.repeat(4)
const long = `/home/${'ü'.repeat(60)}/state`

test('a socket lies in its state folder, or where the path fits a Unix socket', () => {
  assert.deepEqual(tunnelSocketPath('/home/ann/state', machine, hash), {
    path: '/home/ann/state/tunnel.sock',
    folder: '/home/ann/state',
  })
  assert.deepEqual(tunnelSocketPath(long, machine, hash), {
    path: '/run/user/1000/adit/0123456789abcdef.sock',
    folder: '/run/user/1000/adit',
  })
  assert.equal(
    tunnelSocketPath(long, { ...machine, runtimeFolder: undefined }, hash).path,
    '/tmp/adit-1000/0123456789abcdef.sock',
  )
  assert.equal(tunnelSocketPath(long, { ...machine, runtimeFolder: `/${'r'.repeat(80)}` }, hash).folder, '/tmp/adit-1000')
})
