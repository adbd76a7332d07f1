import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { seconds } from '#shared/time/instant.ts'
import type { IpsecCaller } from '#test/lab/ipsec-caller.ts'
import { ikeProposals, type KeyKind, testCa } from '#test/lab/strongswan.ts'
import { certificateOf, credentialOf, inner, psk, StrongswanGateway } from '#test/lab/strongswan-gateway.ts'

/** strongSwan as the gateway, our esp endpoint as the one that begins: what our agent does with any IKEv2 gateway. */

const espProposals = [
  'aes256gcm16-x25519-noesn',
  'aes128gcm16-noesn',
  'chacha20poly1305-noesn',
  'aes256-sha256-noesn',
  'aes128-sha256-noesn',
  'null-sha256-noesn',
]

const ourKeys: readonly KeyKind[] = ['ecdsa-384', 'ed25519', 'rsa-3072']
const gatewayKeys: readonly KeyKind[] = ['ecdsa-384', 'ed25519', 'rsa-2048']

test('strongSwan as the responder', async (t) => {
  const gateway = await StrongswanGateway.open(t)

  for (const proposal of ikeProposals) {
    await t.test(`IKE ${proposal}`, async (t) => {
      await gateway.configure({ proposals: proposal })
      await works(await gateway.call(t, { ike: [proposal] }))
    })
  }
  for (const proposal of espProposals) {
    await t.test(`ESP ${proposal}`, async (t) => {
      await gateway.configure({ esp: proposal })
      await works(await gateway.call(t, { esp: [proposal] }))
    })
  }
  await t.test('ESN is agreed upon', async (t) => {
    await gateway.configure({ esp: 'aes256gcm16-esn' })
    // Its ESP in user space has none, and says so only after that.
    await gateway.meet(t, { esp: ['aes256gcm16-esn'] })
    await gateway.logs(/selected proposal: ESP:AES_GCM_16_256\/EXT_SEQ/)
  })

  for (const kind of ourKeys) {
    await t.test(`we prove ourselves by ${kind}`, async (t) => {
      await gateway.configure({})
      await works(await gateway.call(t, await gateway.identity(`us-${kind}.example`, kind)))
    })
  }
  for (const kind of gatewayKeys) {
    await t.test(`it proves itself by ${kind}`, async (t) => {
      const name = `moon-${kind}.example`
      await gateway.configure({ name, kind })
      await works(await gateway.call(t, { gatewayId: name }))
    })
  }
  await t.test('a pre-shared key', async (t) => {
    await gateway.configure({ psk: true })
    await works(await gateway.call(t, { id: 'us.example', credential: { kind: 'psk', secret: Buffer.from(psk, 'utf8') } }))
  })

  await t.test('our first group is not the one that it wants', async (t) => {
    await gateway.configure({ proposals: 'aes256gcm16-prfsha256-ecp256' })
    const ike = ['aes256gcm16-prfsha256-x25519', 'aes256gcm16-prfsha256-ecp256']
    await works(await gateway.call(t, { ike }))
    await gateway.logs(/DH group .* unacceptable, requesting ECP_256/)
  })
  await t.test('it demands a cookie', async (t) => {
    await gateway.configure({})
    await gateway.restart(['cookie_threshold = 1', 'half_open_timeout = 30'])
    await works(await gateway.call(t, {}))
    await gateway.restart()
  })
  await t.test('it narrows what we ask for', async (t) => {
    await gateway.configure({ local: '10.77.0.1/32' })
    const caller = await gateway.call(t, {})
    assert.equal(await caller.pings('10.77.0.1'), 1)
    assert.equal(await caller.pings('fd77::1'), 0, 'nothing goes where nothing was agreed')
  })

  await t.test('what it refuses is told: proposals, selectors, identity, its certificate', async (t) => {
    await gateway.configure({ proposals: 'aes256-sha512-modp3072', esp: 'aes128-sha256' })
    const proposals = await gateway.meet(t, { ike: ['aes256gcm16-prfsha256-x25519'] })
    assert.equal((await proposals.refused()).code, 'no-proposal-chosen')
    await gateway.configure({ esp: 'aes128-sha256-noesn' })
    assert.equal((await (await gateway.meet(t, { esp: ['aes256gcm16-noesn'] })).refused()).code, 'no-proposal-chosen')
    await gateway.configure({ local: '10.99.99.0/24' })
    assert.equal((await (await gateway.meet(t, {})).refused()).code, 'selectors-unacceptable')
    await gateway.configure({})
    // We ask for sun.example (IDr), and moon.example does not answer in its name.
    assert.equal((await (await gateway.meet(t, { gatewayId: 'sun.example' })).refused()).code, 'peer-refused-us')
    const foreign = await testCa(join(gateway.folder, 'foreign'))
    const distrusting = await gateway.meet(t, { root: certificateOf(foreign.root) })
    assert.equal((await distrusting.refused()).code, 'certificate-refused')
    const stranger = await gateway.meet(t, await credentialOf(foreign, 'stranger.example', 'ecdsa-256'))
    assert.equal((await stranger.refused()).code, 'peer-refused-us')
  })

  await t.test(
    'P-27 rekeying of both SAs by both ends at once, every two or three seconds: no inner packet is lost',
    async (t) => {
      const caller = await gateway.callRekeying(t)
      const sent = 300
      const spi = await gateway.swan.ikeSpi()
      assert.equal(await caller.pings(inner[0]!, sent), sent)
      assert.notEqual(await gateway.swan.ikeSpi(), spi)
      await gateway.settles()
      assert.deepEqual(caller.failures, [])
    },
  )

  await t.test('it is killed and started: we are back by ourselves', async (t) => {
    await gateway.configure({})
    const caller = await gateway.call(t, { settings: { patience: seconds(6), livenessTime: seconds(2) } })
    await gateway.restart()
    const from = performance.now()
    while ((await caller.pings(inner[0]!)) === 0) assert.ok(performance.now() - from < 60_000, 'it does not come back')
    t.diagnostic(`data flows ${Math.round(performance.now() - from)} ms after the start`)
  })

  await t.test('P-25 certificate chains of 4 kB both ways, over a path that drops what is longer than 1280 bytes', async (t) => {
    const long = await testCa(join(gateway.folder, 'long'), {
      name: 'A certificate authority with a name of more than fifty letters',
      intermediates: 2,
      kind: 'rsa-4096',
    })
    await gateway.configure({ ca: long, name: 'moon.example', kind: 'rsa-4096' })
    const credential = await credentialOf(long, 'us.example', 'rsa-4096')
    assert.ok(credential.credential.chain.reduce((sum, { length }) => sum + length, 0) >= 4_000)
    gateway.host.nft(`table inet narrow {
      counter swallowed { }
      chain in { type filter hook input priority 0; meta length > 1280 counter name swallowed drop; }
      chain out { type filter hook output priority 0; meta length > 1280 counter name swallowed drop; }
    }`)
    await works(await gateway.call(t, { ...credential, root: certificateOf(long.root) }))
    assert.match(gateway.host.run('nft', 'list', 'counter', 'inet', 'narrow', 'swallowed'), /packets 0 /)
    await gateway.logs(/parsed IKE_AUTH request 1 \[ EF\([4-9]\/[4-9]\) \]/)
  })
})

async function works(caller: IpsecCaller): Promise<void> {
  for (const address of inner) assert.equal(await caller.pings(address, 2, 20), 2, address)
  caller.leave()
}
