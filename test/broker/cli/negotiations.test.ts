import assert from 'node:assert/strict'
import test from 'node:test'
import type { NegotiationDocument } from '#broker/registry/negotiation-document.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Cli, openDesk } from '#test/broker/cli/cli-fixture.ts'

const cli = new Cli()

test('adit-broker negotiations: the newest first, what to change at either end, escapes harmless', async (t) => {
  const { data, registry } = await openDesk(t, cli)
  const none = await cli.run('negotiations', '--data', data)
  assert.deepEqual([none.status, none.out], [0, 'no negotiation has failed\n'])
  await registry.ipsecPeers.add({ name: 'plant-a', proof: { psk: nativeSuite.random(32) } })
  registry.negotiations.record({
    stage: 'init',
    code: 'no-proposal-chosen',
    from: { address: '2001:db8::7', port: 500 },
    claimedId: undefined,
    offered: ['3des-sha1-modp1024', 'aes128-sha1-modp1536'],
    allowed: ['aes256-sha256-x25519'],
    nearest: { offered: 'aes128-sha1-modp1536', allowed: 'aes256-sha256-x25519', differs: 'key length, sha1, modp1536' },
    message: 'no proposal chosen for IKE',
    mendHere: 'nothing: sha1 is never taken',
    mendThere: 'proposals = aes256-sha256-x25519',
  })
  registry.negotiations.record({
    stage: 'auth',
    code: 'unknown-peer',
    from: { address: '192.0.2.7', port: 4500 },
    claimedId: 'CN=evil\u001b[2J',
    offered: [],
    allowed: [],
    nearest: undefined,
    message: 'nobody bears that name',
    mendHere: 'device add --ipsec',
    mendThere: 'local.id',
  })
  await registry.negotiations.drained()
  const { out, status } = await cli.run('negotiations', '--data', data)
  assert.equal(status, 0)
  const [first = '', second = ''] = out.split('\n\n')
  assert.match(first, /^\d{4}-\S+Z\n {2}peer {5}"CN=evil\\u\{1b\}\[2J", which nobody here bears, from 192\.0\.2\.7:4500\n/)
  assert.equal(out.includes('\u001b'), false, 'A-77')
  for (const line of [
    'peer     somebody who did not get as far as saying who it is, from [2001:db8::7]:500',
    'failed   no-proposal-chosen (init): no proposal chosen for IKE',
    'offered  3des-sha1-modp1024, aes128-sha1-modp1536',
    'allowed  aes256-sha256-x25519',
    'nearest  aes128-sha1-modp1536 to aes256-sha256-x25519: key length, sha1, modp1536',
    'here     nothing: sha1 is never taken',
    'there    proposals = aes256-sha256-x25519',
  ]) {
    assert.ok(second.includes(`  ${line}\n`) || second.includes(`  ${line}`), line)
  }
  const rows = await cli.json<NegotiationDocument[]>('negotiations', '--data', data, '--limit', '1')
  assert.deepEqual([rows.length, rows[0]?.code, rows[0]?.peer, rows[0]?.nearest], [1, 'unknown-peer', null, null])
  assert.deepEqual(await cli.json('negotiations', '--data', data, '--peer', 'plant-a'), [])
  assert.equal((await cli.run('negotiations', '--data', data, '--peer', 'nobody')).status, 4)
  assert.equal((await cli.run('negotiations', '--data', data, '--limit', '0')).status, 2)
})
