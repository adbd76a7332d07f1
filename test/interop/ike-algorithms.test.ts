import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { formatCidr, parseCidr } from '#shared/wire/ip-address.ts'
import { connectionSetting, edits, IpsecTown, type StrongswanPeer, setting } from '#test/lab/ipsec-town.ts'
import { ikeProposals } from '#test/lab/strongswan.ts'

/** Each cipher, PRF, group and kind of certificate that we offer, against strongSwan's own implementation of it, which begins. */

const espProposals = [
  'aes256gcm16-x25519-noesn',
  'aes256gcm16-noesn',
  'aes128gcm16-ecp256-noesn',
  'chacha20poly1305-ecp384-noesn',
  'aes256-sha256-modp2048-noesn',
  'aes128-sha256-noesn',
  // Integrity without secrecy: only where a policy names it.
  'null-sha256-x25519-noesn',
]

/** strongSwan's IKE agrees to these, its ESP in user space (5.9.8) has no ESN and no GMAC: agreed upon here, carried in the tests of shared/tunnel. */
const agreedOnly: readonly (readonly [proposal: string, selected: string])[] = [
  ['aes256gcm16-x25519-esn', 'ESP:AES_GCM_16_256/EXT_SEQ'],
  ['chacha20poly1305-esn', 'ESP:CHACHA20_POLY1305/EXT_SEQ'],
  ['aes256gmac-x25519-noesn', 'ESP:NULL_AES_GMAC_256/NO_EXT_SEQ'],
]

const keyKinds = ['p384', 'ed25519', 'rsa3072']

test('strongSwan with every algorithm', async (t) => {
  const all = [...espProposals, ...agreedOnly.map(([proposal]) => proposal)]
  const config = `[ipsec]\nike-proposals = ${JSON.stringify(ikeProposals)}\nesp-proposals = ${JSON.stringify(all)}\n`
  const town = await IpsecTown.open(t, { config })
  const [inner = ''] = town.inner
  const peer = await town.peer(t, 'pump')

  for (const proposal of ikeProposals) {
    await t.test(`IKE ${proposal}`, async () => {
      await peer.reload(setting('proposals', proposal))
      await peer.up()
      assert.equal(await peer.host.pings(inner, 2), 2)
    })
  }

  for (const proposal of espProposals) {
    await t.test(`ESP ${proposal}, kept through a rekey with PFS or without`, async () => {
      await peer.reload(setting('esp_proposals', proposal))
      await peer.up()
      for (const address of town.inner) assert.equal(await peer.host.pings(address, 2), 2)
      const { status, stdout } = await peer.swan.ctl('--rekey', '--child', 'adit')
      assert.equal(status, 0, stdout)
      for (const address of town.inner) assert.equal(await peer.host.pings(address, 2), 2, 'after the rekey')
    })
  }

  for (const [proposal, selected] of agreedOnly) {
    await t.test(`ESP ${proposal} is agreed upon`, async () => {
      await peer.reload(setting('esp_proposals', proposal))
      const said = await peer.refused()
      assert.match(said, new RegExp(`selected proposal: ${selected}`))
      assert.match(said, /failed to create SAD entry/)
      assert.match(said, /parsed INFORMATIONAL response \d+ \[ D \]/, 'we delete what it could not use')
    })
  }

  await t.test('a first guess of a group that we refuse: INVALID_KE_PAYLOAD, and again with a good one', async () => {
    await peer.reload(setting('proposals', 'aes256gcm16-prfsha256-modp1024-x25519'))
    await peer.up()
    assert.match(peer.swan.log, /didn't accept DH group MODP_1024, it requested CURVE_25519/)
  })

  await t.test('a childless IKE SA (RFC 6023), its Child SA later', async () => {
    await peer.reload(connectionSetting('childless', 'force'))
    const { status, stdout, stderr } = await peer.swan.ctl('--initiate', '--ike', 'adit', '--timeout', '20')
    assert.equal(status, 0, stdout + stderr)
    assert.doesNotMatch(await peer.swan.sas(), /INSTALLED/)
    await peer.up()
    assert.equal(await peer.host.pings(inner, 2), 2)
  })

  await t.test('selectors wider than what it may have are narrowed', async () => {
    await peer.reload(edits(setting('local_ts', '0.0.0.0/0, ::/0'), setting('remote_ts', '0.0.0.0/0, ::/0')))
    await peer.up()
    const said = await peer.swan.sas()
    const [, local = '', remote = ''] = / {4}local {2}(.*)\n {4}remote (.*)/.exec(said) ?? []
    const { addresses } = await owned(town, 'pump')
    assert.deepEqual(local.trim().split(' ').sort(), addresses.map((address) => formatCidr(parseCidr(address))).sort())
    assert.doesNotMatch(remote, /(^| )(0\.0\.0\.0|::)\/0/)
    for (const address of town.inner) assert.equal(await peer.host.pings(address, 2), 2)
  })

  await peer.down()
  for (const kind of keyKinds) {
    await t.test(`a certificate over ${kind}, through our issuing CA as intermediate`, async (t) => {
      await proves(t, town, kind, ['--key-type', kind])
    })
  }
  await t.test('a pre-shared key in place of a certificate', async (t) => {
    await proves(t, town, 'shared', ['--psk', 'generate'])
  })
  await t.test('a postquantum pre-shared key beside the certificate (RFC 8784)', async (t) => {
    const sure = await proves(t, town, 'quantum', ['--ppk', 'generate'])
    assert.match(sure.swan.log, /using PPK/)
  })
})

async function proves(t: TestContext, town: IpsecTown, name: string, words: readonly string[]): Promise<StrongswanPeer> {
  const peer = await town.peer(t, name, { words })
  await peer.up()
  assert.equal(await peer.host.pings(town.inner[0]!, 2), 2)
  return peer
}

async function owned({ fleet }: IpsecTown, name: string): Promise<{ addresses: string[] }> {
  return await fleet.admin<{ addresses: string[] }>('device', 'show', name)
}
