import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IpsecTown } from '#test/lab/ipsec-town.ts'

/** Two routers with strongSwan join their networks, 192.168.1.0/24 and 192.168.2.0/24, through the broker: the README's example. */
test('two strongSwan sites reach each other where a grant says so, and not otherwise', async (t) => {
  const town = await IpsecTown.open(t)
  const words = (subnet: string): string[] => ['--subnet', subnet, '--suite', 'aes256-sha256-x25519']
  const east = await town.peer(t, 'east', { words: words('192.168.1.0/24') })
  const west = await town.peer(t, 'west', { words: words('192.168.2.0/24') })
  // A host in each site: its address is the router's own, so that no third namespace is needed.
  east.host.addAddress('192.168.1.1/24', 'lo')
  west.host.addAddress('192.168.2.1/24', 'lo')
  await east.up()
  await west.up()
  const ping = (peer: typeof east, from: string, to: string): boolean => {
    try {
      peer.host.run('ping', '-n', '-c', '3', '-i', '0.2', '-W', '1', '-I', from, to)
      return true
    } catch {
      return false
    }
  }
  assert.equal(ping(east, '192.168.1.1', '192.168.2.1'), false, 'default deny')
  await town.fleet.admin('grant', 'add', '--from', 'east', '--to', 'west', '--port', 'all')
  assert.equal(ping(east, '192.168.1.1', '192.168.2.1'), true, 'east reaches west')
  assert.equal(ping(west, '192.168.2.1', '192.168.1.1'), false, 'the grant is one way')

  const refused = await town.fleet.refusedAdmin(
    ...['device', 'add', '--ipsec', '--name', 'third', '--subnet', '192.168.2.128/25', '--out', `${town.fleet.folder}/third`],
  )
  assert.match(refused, /192\.168\.2\.128\/25/)
  assert.match(refused, /west/, 'the overlap is named with its owner')
})
