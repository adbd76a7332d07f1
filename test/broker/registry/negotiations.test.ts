import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { openRegistry } from '#test/broker/registry/registry-fixture.ts'

const failure = (change: Partial<NegotiationFailure> = {}): NegotiationFailure => ({
  stage: 'init',
  code: 'no-proposal-chosen',
  from: { address: '192.0.2.7', port: 500 },
  claimedId: undefined,
  offered: ['3des-sha1-modp1024'],
  allowed: ['aes256gcm16-prfsha256-x25519'],
  nearest: { offered: '3des-sha1-modp1024', allowed: 'aes256gcm16-prfsha256-x25519', differs: '3des' },
  message: 'None of the proposals is allowed.',
  mendHere: '[ipsec] ike-proposals',
  mendThere: 'proposals = aes256gcm16-prfsha256-x25519',
  ...change,
})

test('a failure is kept whole, found by its peer, its address and its time, and outlives a restart', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const peer = await registry.ipsecPeers.add({ name: 'plant-a', proof: { psk: nativeSuite.random(32) } })
  const psk = await registry.ipsecPeers.add({ name: 'rtr', identity: 'rtr.example', proof: { psk: nativeSuite.random(32) } })
  const begun = clock.ms
  registry.negotiations.record(failure())
  registry.negotiations.record(failure({ stage: 'auth', code: 'clock', claimedId: 'CN=Plant-A' }))
  clock.ms += 1_000
  registry.negotiations.record(failure({ stage: 'auth', code: 'psk-mismatch', claimedId: 'RTR.example' }))
  registry.negotiations.record(failure({ stage: 'auth', code: 'refused', claimedId: 'CN=stranger, O=else' }))
  registry.negotiations.record(failure({ stage: 'child', code: 'selectors-unacceptable', claimedId: 'plant-a', from: undefined }))
  const { negotiations } = await fixture.reopen()
  const codes = async (query: Parameters<typeof negotiations.query>[0]) =>
    (await negotiations.query(query)).map(({ failure: { code } }) => code)
  const all = await negotiations.query()
  assert.deepEqual(all[0], { id: 1, at: begun, principalId: undefined, times: 1, failure: failure() })
  assert.deepEqual(await codes({ principalId: peer.id }), ['clock', 'selectors-unacceptable'])
  assert.deepEqual(await codes({ principalId: psk.id }), ['psk-mismatch'])
  assert.deepEqual(await codes({ principalId: null }), ['no-proposal-chosen', 'refused'])
  assert.deepEqual(await codes({ principalId: null, addresses: ['192.0.2.7'], since: begun + 1 }), ['refused'])
  assert.deepEqual(await codes({ addresses: ['192.0.2.8'] }), [])
  assert.deepEqual(await codes({ limit: 2 }), ['refused', 'selectors-unacceptable'])
  assert.deepEqual(await codes({ after: 1, limit: 2 }), ['clock', 'psk-mismatch'])
  await fixture.end()
})

test('P-10 strangers fill neither the disk nor the table: repeats are counted, rows rationed, texts cut, a peer’s own rows stay', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const { negotiations } = registry
  const peer = await registry.ipsecPeers.add({ name: 'plant-a', proof: { psk: nativeSuite.random(32) } })
  negotiations.record(failure({ code: 'clock', claimedId: 'plant-a' }))
  for (let n = 0; n < 50; n++) negotiations.record(failure())
  clock.ms += 10_000
  negotiations.record(failure({ offered: Array.from({ length: 900 }, () => 'x'.repeat(9_000)), claimedId: 'y'.repeat(5_000) }))
  await negotiations.drained()
  const rows = await negotiations.query({ principalId: null })
  assert.deepEqual(
    rows.map(({ times }) => times),
    [1, 50],
  )
  assert.ok(JSON.stringify(rows[1]).length < 15_000)
  const stranger = (n: number) => failure({ from: { address: `2001:db8::${n.toString(16)}`, port: 500 } })
  for (let n = 0; n < 10_000; n++) negotiations.record(stranger(n))
  await negotiations.drained()
  assert.ok((await negotiations.query({ limit: 1_000 })).length <= 103, 'a burst of a hundred and no more')
  assert.ok(negotiations.suppressed > 9_800)
  for (let n = 10_000; n < 11_000; n++) {
    clock.ms += 100
    negotiations.record(stranger(n))
  }
  await negotiations.drained()
  assert.equal((await negotiations.query({ principalId: null, limit: 1_000 })).length, 500)
  assert.equal((await negotiations.query({ principalId: peer.id })).length, 1)
  for (let n = 0; n < 1_100; n++) {
    clock.ms += 10_000
    negotiations.record(failure({ code: 'clock', claimedId: 'plant-a' }))
  }
  await negotiations.drained()
  assert.equal((await negotiations.query({ limit: 2_000 })).length, 1_000)
  await fixture.end()
})

test('who has changed a line and tries again reads about the new attempt, not the last one', async () => {
  const fixture = await openRegistry()
  const { registry, clock } = fixture
  const { negotiations } = registry
  const messages = async (): Promise<string[]> => (await negotiations.query()).map(({ failure: { message } }) => message)
  negotiations.record(failure({ message: 'One.' }))
  negotiations.record(failure({ message: 'Two.' }))
  clock.ms += 400
  negotiations.record(failure({ message: 'One.' }))
  negotiations.record(failure({ message: 'Three.' }))
  await negotiations.drained()
  assert.deepEqual(await messages(), ['One.'], 'faster than a person')
  clock.ms += 100
  negotiations.record(failure({ message: 'Three.' }))
  await negotiations.drained()
  assert.deepEqual(await messages(), ['One.', 'Three.'])
  await fixture.end()
})
