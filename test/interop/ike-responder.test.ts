import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { certificateCredential } from '#shared/ikev2/authentication.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import { type CallerOptions, IpsecCaller } from '#test/lab/ipsec-caller.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { type KeyKind, Strongswan, type TestCa, testCa } from '#test/lab/strongswan.ts'

/** strongSwan as the gateway, our esp endpoint as the one that begins: what our agent does with any IKEv2 gateway. */

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
  'aes256gcm16-x25519-noesn',
  'aes128gcm16-noesn',
  'chacha20poly1305-noesn',
  'aes256-sha256-noesn',
  'aes128-sha256-noesn',
  'null-sha256-noesn',
]

const ourKeys: readonly KeyKind[] = ['ecdsa-384', 'ed25519', 'rsa-3072']
const gatewayKeys: readonly KeyKind[] = ['ecdsa-384', 'ed25519', 'rsa-2048']

const inner = ['10.77.0.1', 'fd77::1']
const psk = 'b0a7c19e5d2f4863b0a7c19e5d2f4863'

test('strongSwan as the responder', async (t) => {
  const gateway = await Gateway.open(t)

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
      await gateway.configure({ esp: 'aes256gcm16-x25519-noesn', rekey: '2s', life: '60s' })
      const caller = await gateway.call(t, {
        settings: { ikeSoftTime: seconds(2), ikeHardTime: seconds(60), rekeySpacing: milliseconds(500) },
        lifetime: { softTime: seconds(2), hardTime: seconds(60) },
      })
      const sent = 300
      const spi = await gateway.ikeSpi()
      assert.equal(await caller.pings(inner[0]!, sent), sent)
      assert.notEqual(await gateway.ikeSpi(), spi)
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

const certificateOf = (path: string) => parseCertificate(decodePem('CERTIFICATE', readFileSync(path, 'utf8'))[0]!)

/** A new key with its certificate and what stands between it and the root, as our proof. */
async function credentialOf(ca: TestCa, id: string, kind: KeyKind) {
  const { key, certificate } = await ca.issue(id, kind)
  const chain = [certificate, ...ca.intermediates.toReversed()].map((path) => Uint8Array.from(certificateOf(path).der))
  const pkcs8 = createPrivateKey(readFileSync(key)).export({ type: 'pkcs8', format: 'der' })
  return { id, credential: certificateCredential(chain, pkcs8, nativeSuite) }
}

interface GatewayConf {
  proposals?: string
  esp?: string
  local?: string
  name?: string
  kind?: KeyKind
  ca?: TestCa
  psk?: boolean
  rekey?: string
  life?: string
}

/** charon in a namespace of its own, on a wire to where the test runs. */
class Gateway {
  readonly host: Host
  readonly folder: string
  readonly #here: string
  readonly #there: string
  readonly #swan: Strongswan
  readonly #ca: TestCa
  #mark = 0

  private constructor(host: Host, net: [here: string, there: string], swan: Strongswan, ca: TestCa) {
    this.host = host
    this.folder = swan.folder
    ;[this.#here, this.#there] = net
    this.#swan = swan
    this.#ca = ca
  }

  static async open(t: TestContext): Promise<Gateway> {
    const internet = Internet.open(t)
    const host = internet.host('moon')
    const net = internet.linkHere(host)
    for (const address of inner) host.addAddress(`${address}/${address.includes(':') ? 128 : 32}`, 'lo')
    const swan = await Strongswan.start(t, { host })
    return new Gateway(host, net, swan, await testCa(join(swan.folder, 'ca'), { intermediates: 1 }))
  }

  async configure(conf: GatewayConf): Promise<void> {
    const { name = 'moon.example', kind = 'ecdsa-256', ca = this.#ca } = conf
    const folder = join(this.folder, 'conf')
    for (const part of ['x509', 'x509ca', 'private']) mkdirSync(join(folder, part), { recursive: true })
    const { key, certificate } = await ca.issue(name, kind)
    copyFileSync(key, join(folder, 'private', 'moon.key'))
    copyFileSync(certificate, join(folder, 'x509', 'moon.pem'))
    for (const path of [ca.root, ...ca.intermediates]) copyFileSync(path, join(folder, 'x509ca', basename(path)))
    writeFileSync(join(folder, 'swanctl.conf'), swanctlConf(name, conf))
    await this.#swan.ctl('--terminate', '--ike', 'in', '--timeout', '2', '--force')
    await this.#swan.load(folder)
    this.#mark = this.#swan.log.length
  }

  async restart(settings?: readonly string[]): Promise<void> {
    await this.#swan.kill()
    await this.#swan.launch(settings)
    await this.#swan.load(join(this.folder, 'conf'))
  }

  identity(id: string, kind: KeyKind) {
    return credentialOf(this.#ca, id, kind)
  }

  /** A caller that is up. */
  async call(t: TestContext, options: Partial<CallerOptions>): Promise<IpsecCaller> {
    const caller = await this.meet(t, options)
    await caller.up()
    return caller
  }

  async meet(t: TestContext, options: Partial<CallerOptions>): Promise<IpsecCaller> {
    return IpsecCaller.start(t, {
      bind: this.#here,
      gateway: { address: this.#there, port: 4500 },
      gatewayId: 'moon.example',
      root: certificateOf(this.#ca.root),
      local: ['0.0.0.0/0', '::/0'],
      remote: inner.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      ...(options.credential ? {} : await this.#usual()),
      ...options,
    } as CallerOptions)
  }

  /** Resolves when charon has logged it since it was configured. */
  async logs(pattern: RegExp): Promise<void> {
    for (const end = performance.now() + 10_000; !pattern.test(this.#swan.log.slice(this.#mark)); ) {
      if (performance.now() > end) throw new Error(`no ${pattern} in:\n${this.#swan.log.slice(this.#mark)}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async ikeSpi(): Promise<string> {
    return /(\w{16})_i/.exec(await this.#swan.sas())?.[1] ?? 'none'
  }

  /** Resolves when there is one IKE SA with one Child SA: collisions have been cleared up. */
  async settles(): Promise<void> {
    for (const end = performance.now() + 20_000; ; ) {
      const said = await this.#swan.sas()
      const count = (pattern: RegExp): number => said.match(pattern)?.length ?? 0
      if (count(/ESTABLISHED/g) === 1 && count(/INSTALLED/g) === 1) return
      if (performance.now() > end) throw new Error(said)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  #us: Awaited<ReturnType<typeof credentialOf>> | undefined
  async #usual() {
    this.#us ??= await this.identity('us.example', 'ecdsa-256')
    return this.#us
  }
}

function swanctlConf(name: string, conf: GatewayConf): string {
  const { proposals = 'default', esp = 'default', local = `${inner[0]}/32, ${inner[1]}/128`, rekey = '4h', life = '5h' } = conf
  const auth = (id: string, certificate: string) =>
    conf.psk ? `auth = psk\n id = ${id}` : `auth = pubkey\n id = ${id}\n ${certificate}`
  return `connections {
  in {
    version = 2
    proposals = ${proposals}
    encap = yes
    fragmentation = yes
    rekey_time = ${rekey}
    over_time = ${life}
    pools = p4, p6
    send_cert = always
    local {
      ${auth(name, 'certs = moon.pem')}
    }
    remote {
      ${auth('%any', 'cacerts = ca.pem')}
    }
    children {
      in {
        local_ts = ${local}
        esp_proposals = ${esp}
        rekey_time = ${rekey}
        life_time = ${life}
      }
    }
  }
}
pools {
  p4 { addrs = 10.78.0.0/24 }
  p6 { addrs = fd78::/112 }
}
secrets {
  ike-us {
    secret = "${psk}"
  }
}
`
}
