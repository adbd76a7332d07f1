import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { IpsecTown } from '#test/lab/ipsec-town.ts'
import { Libreswan } from '#test/lab/libreswan.ts'

/**
 * libreswan as a device of the broker, by the ipsec.conf that `device add --ipsec` writes. Its ESP is the kernel's alone: where that has
 * none, what it says of its Child SA is asserted in place of its data.
 */

interface DeviceDocument {
  tunnel: { state: string; suite: string; ike: string; childSas: readonly { esp: string; local: string[]; remote: string[] }[] }
}

test('libreswan as an IPsec peer', async (t) => {
  const town = await IpsecTown.open(t)
  let hosts = 0

  /** A peer on a wire of its own, and what its pluto said when it began the connection. */
  const begin = async (
    t: TestContext,
    name: string,
    words: readonly string[],
    edit?: (conf: string, folder: string) => string,
  ): Promise<{ host: ReturnType<IpsecTown['host']>; said: string; log: string }> => {
    const host = town.host(name)
    const gateway = `10.99.${hosts++}.1`
    host.ip(`route add default via ${gateway}`)
    const peerFolder = await town.register(name, `${gateway}:4500`, ...words)
    const peer = await Libreswan.start(t, { host, peerFolder, ...(edit && { edit: (conf) => edit(conf, peerFolder) }) })
    const said = await peer.initiate('adit')
    return { host, said, log: peer.log }
  }

  const cases: readonly { name: string; words: readonly string[]; by: RegExp; ike: string; esp: string }[] = [
    {
      name: 'plant-p256',
      words: ['--key-type', 'p256'],
      by: certificate,
      ike: 'aes256gcm16-prfsha256-x25519',
      esp: 'aes256gcm16-esn',
    },
    {
      name: 'plant-p384',
      words: ['--key-type', 'p384'],
      by: certificate,
      ike: 'aes256gcm16-prfsha256-x25519',
      esp: 'aes256gcm16-esn',
    },
    {
      name: 'plant-rsa',
      words: ['--key-type', 'rsa3072'],
      by: certificate,
      ike: 'aes256gcm16-prfsha256-x25519',
      esp: 'aes256gcm16-esn',
    },
    { name: 'plant-psk', words: ['--psk', 'generate'], by: secret, ike: 'aes256gcm16-prfsha256-x25519', esp: 'aes256gcm16-esn' },
    {
      name: 'plant-cbc',
      words: ['--suite', 'aes256-sha256-x25519'],
      by: certificate,
      ike: 'aes256-sha256-x25519',
      esp: 'aes256-sha256',
    },
    {
      name: 'plant-modp',
      words: ['--suite', 'aes128-sha512-modp3072'],
      by: certificate,
      ike: 'aes128-sha512-modp3072',
      esp: 'aes128-sha512',
    },
  ]
  for (const [n, { name, words, by, ike, esp }] of cases.entries()) {
    await t.test(`${name}: both prove themselves, suites and networks are agreed on`, async (t) => {
      const subnet = `192.168.${n + 1}.0/24`
      const { host, said, log } = await begin(t, name, ['--subnet', subnet, ...words])
      assert.match(said, by, log)
      const { tunnel } = await town.fleet.admin<DeviceDocument & object>('device', 'show', name)
      assert.deepEqual([tunnel.state, tunnel.suite, tunnel.ike], ['up', 'esp', ike])
      const agreed = tunnel.childSas.map((sa) => `${sa.esp} ${sa.local} ${sa.remote}`)
      assert.ok(agreed.includes(`${esp} 100.64.0.0/10 ${subnet}`), agreed.join('\n'))
      if (kernelWithoutEsp.test(said))
        return t.diagnostic('this kernel has no ESP: libreswan could not install its Child SA, and no data passed')
      assert.match(said, /IPsec SA established tunnel mode/, log)
      host.addAddress(`192.168.${n + 1}.1/24`, 'lo')
      const inner = town.inner.find((address) => !address.includes(':'))!
      assert.equal(await host.pings(inner, 3), 3)
    })
  }

  await t.test('a suite that the broker refuses is told to both: NO_PROPOSAL_CHOSEN, and the line to change', async (t) => {
    const after = (await town.negotiations())[0]?.id ?? 0
    const { said, log } = await begin(t, 'plant-old', ['--subnet', '192.168.90.0/24'], (conf) =>
      conf.replace(/ike=.*/, 'ike=aes256-sha1-dh14'),
    )
    assert.match(said, /NO_PROPOSAL_CHOSEN/, log)
    const told = await town.negotiationAfter(after)
    assert.deepEqual([told.stage, told.code], ['init', 'no-proposal-chosen'])
    assert.match(told.offered.join(), /sha1/)
  })

  await t.test('a secret that is not the one of its entry is told to both', async (t) => {
    const after = (await town.negotiations())[0]?.id ?? 0
    const { said, log } = await begin(t, 'plant-liar', ['--subnet', '192.168.91.0/24', '--psk', 'generate'], (conf, folder) => {
      const path = join(folder, 'ipsec.secrets')
      writeFileSync(path, readFileSync(path, 'utf8').replace(/(PSK\s+"?(?:0x)?)./, '$10'))
      return conf
    })
    assert.match(said, /AUTHENTICATION_FAILED/, log)
    const told = await town.negotiationAfter(after)
    assert.deepEqual([told.peer, told.stage], ['plant-liar', 'auth'])
  })
})

const certificate =
  /initiator established IKE SA; authenticated peer 'P-256 ECDSA with SHA2_256' digital signature using peer certificate 'CN=adit broker/
const secret = /initiator established IKE SA; authenticated peer using authby=secret/
/** ENOSYS of the kernel's crypto, or no such protocol at all. */
const kernelWithoutEsp = /netlink response for Add SA esp\.\S+: (Function not implemented|Protocol not supported)/
