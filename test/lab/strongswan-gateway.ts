import { createPrivateKey } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { TestContext } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { certificateCredential } from '#shared/ikev2/authentication.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { milliseconds, seconds } from '#shared/time/instant.ts'
import { type CallerOptions, IpsecCaller } from '#test/lab/ipsec-caller.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { seen } from '#test/lab/seen.ts'
import { type KeyKind, Strongswan, type TestCa, testCa } from '#test/lab/strongswan.ts'

/** The gateway's inner addresses, and the secret of those who have no certificate. */
export const inner = ['10.77.0.1', 'fd77::1']
const innerRoutes = ['10.77.0.1/32', 'fd77::1/128']
export const psk = 'b0a7c19e5d2f4863b0a7c19e5d2f4863'

export const certificateOf = (path: string) => parseCertificate(decodePem('CERTIFICATE', readFileSync(path, 'utf8'))[0]!)

/** A new key with its certificate and what stands between it and the root, as our proof. */
export async function credentialOf(ca: TestCa, id: string, kind: KeyKind) {
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

/** strongSwan as the gateway: charon in a namespace of its own, on a wire to where the test runs. */
export class StrongswanGateway {
  readonly host: Host
  readonly folder: string
  readonly #here: string
  readonly #there: string
  readonly swan: Strongswan
  readonly #ca: TestCa
  #mark = 0

  private constructor(host: Host, net: [here: string, there: string], swan: Strongswan, ca: TestCa) {
    this.host = host
    this.folder = swan.folder
    ;[this.#here, this.#there] = net
    this.swan = swan
    this.#ca = ca
  }

  static async open(t: Pick<TestContext, 'after'>): Promise<StrongswanGateway> {
    const internet = Internet.open(t)
    const host = internet.host('moon')
    const net = internet.linkHere(host)
    for (const route of innerRoutes) host.addAddress(route, 'lo')
    const swan = await Strongswan.start(t, { host })
    return new StrongswanGateway(host, net, swan, await testCa(join(swan.folder, 'ca'), { intermediates: 1 }))
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
    await this.swan.ctl('--terminate', '--ike', 'in', '--timeout', '2', '--force')
    await this.swan.load(folder)
    this.#mark = this.swan.log.length
  }

  async restart(settings?: readonly string[]): Promise<void> {
    await this.swan.kill()
    await this.swan.launch(settings)
    await this.swan.load(join(this.folder, 'conf'))
  }

  identity(id: string, kind: KeyKind) {
    return credentialOf(this.#ca, id, kind)
  }

  /** A caller that is up. */
  async call(t: Pick<TestContext, 'after'>, options: Partial<CallerOptions>): Promise<IpsecCaller> {
    const caller = await this.meet(t, options)
    await caller.up()
    return caller
  }

  /** A caller that is up, with which both SAs are renewed every two or three seconds by both ends at once (P-27). */
  async callRekeying(t: Pick<TestContext, 'after'>): Promise<IpsecCaller> {
    await this.configure({ esp: 'aes256gcm16-x25519-noesn', rekey: '2s', life: '60s' })
    return this.call(t, {
      settings: { ikeSoftTime: seconds(2), ikeHardTime: seconds(60), rekeySpacing: milliseconds(500) },
      lifetime: { softTime: seconds(2), hardTime: seconds(60) },
    })
  }

  async meet(t: Pick<TestContext, 'after'>, options: Partial<CallerOptions>): Promise<IpsecCaller> {
    return IpsecCaller.start(t, {
      bind: this.#here,
      gateway: { address: this.#there, port: 4500 },
      gatewayId: 'moon.example',
      root: certificateOf(this.#ca.root),
      local: ['0.0.0.0/0', '::/0'],
      remote: innerRoutes,
      ...(options.credential ? {} : await this.#usual()),
      ...options,
    } as CallerOptions)
  }

  /** Resolves when charon has logged it since it was configured. */
  async logs(pattern: RegExp): Promise<void> {
    const enough = (said: string): boolean => pattern.test(said)
    const otherwise = (said: string): string => `no ${pattern} in:\n${said}`
    await seen(() => this.swan.log.slice(this.#mark), enough, { timeoutMs: 10_000, everyMs: 50, otherwise })
  }

  /** Resolves when there is one IKE SA with one Child SA: collisions have been cleared up. */
  async settles(): Promise<void> {
    const isOne = (said: string): boolean => [/ESTABLISHED/g, /INSTALLED/g].every((pattern) => said.match(pattern)?.length === 1)
    await seen(() => this.swan.sas(), isOne, { timeoutMs: 20_000, otherwise: (said) => said })
  }

  #us: Awaited<ReturnType<typeof credentialOf>> | undefined
  async #usual() {
    this.#us ??= await this.identity('us.example', 'ecdsa-256')
    return this.#us
  }
}

function swanctlConf(name: string, conf: GatewayConf): string {
  const { proposals = 'default', esp = 'default', local = innerRoutes.join(', '), rekey = '4h', life = '5h' } = conf
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
