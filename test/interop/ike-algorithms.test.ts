import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { IpsecTown, setting } from '#test/lab/ipsec-town.ts'

/** Each cipher, PRF, group and kind of certificate that we offer, against strongSwan's own implementation of it. */

/** IKE proposals in strongSwan's words: every encryption, PRF and group once. */
const ikeProposals = [
  'aes256gcm16-prfsha256-x25519',
  'aes128gcm16-prfsha384-ecp256',
  'chacha20poly1305-prfsha512-ecp384',
  'aes256-sha256-prfsha256-ecp521',
  'aes128-sha384-prfsha384-modp2048',
  'aes256-sha512-prfsha512-modp3072',
  'aes256-sha256-modp4096',
]

const espProposals = [
  'aes256gcm16-x25519-esn',
  'aes256gcm16-noesn',
  'aes128gcm16-ecp256-esn-noesn',
  'chacha20poly1305-ecp384-noesn',
  'aes256-sha256-modp2048-noesn',
  'aes128-sha256-noesn',
]

/** Integrity without secrecy: only where a policy names it. */
const integrityOnly = ['aes256gmac-x25519-noesn', 'null-sha256-x25519-noesn']

const keyKinds = ['p256', 'p384', 'ed25519', 'rsa3072']

describe('strongSwan with every algorithm', () => {
  test('IKE: ciphers, PRFs, groups', async (t) => {
    const town = await IpsecTown.open(t, `[ipsec]\nike-proposals = ${JSON.stringify(ikeProposals)}\n`)
    const peer = await town.peer(t, 'pump')
    for (const proposal of ikeProposals) {
      await t.test(proposal, async () => {
        await peer.reload(setting('proposals', proposal))
        await peer.up()
        assert.equal(await peer.host.pings(town.inner[0]!, 2), 2)
        await peer.swan.ctl('--terminate', '--ike', 'adit')
      })
    }
  })

  test('ESP: ciphers, with PFS and without, ESN on and off, kept through a rekey', async (t) => {
    const all = [...espProposals, ...integrityOnly]
    const town = await IpsecTown.open(t, `[ipsec]\nesp-proposals = ${JSON.stringify(all)}\n`)
    const peer = await town.peer(t, 'pump')
    for (const proposal of all) {
      await t.test(proposal, async () => {
        await peer.reload(setting('esp_proposals', proposal))
        await peer.up()
        for (const address of town.inner) assert.equal(await peer.host.pings(address, 3), 3)
        const { status, stdout } = await peer.swan.ctl('--rekey', '--child', 'adit')
        assert.equal(status, 0, stdout)
        for (const address of town.inner) assert.equal(await peer.host.pings(address, 3), 3, 'after the rekey')
        await peer.swan.ctl('--terminate', '--ike', 'adit')
      })
    }
  })

  test('certificates of every kind, through our issuing CA as intermediate', async (t) => {
    const town = await IpsecTown.open(t)
    for (const kind of keyKinds) {
      const peer = await town.peer(t, kind, { words: ['--key-type', kind] })
      await peer.up()
      assert.equal(await peer.host.pings(town.inner[0]!, 2), 2, kind)
    }
  })

  test('a pre-shared key in place of a certificate', async (t) => {
    const town = await IpsecTown.open(t)
    const peer = await town.peer(t, 'shared', { words: ['--psk', 'generate'] })
    await peer.up()
    assert.equal(await peer.host.pings(town.inner[0]!, 2), 2)
  })
})
