import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrokerConfig, type RunningBroker, startBroker } from '#broker/broker.ts'
import { Authority } from '#broker/identity/authority.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { Registry } from '#broker/registry/registry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { defaultEspProposals, defaultIkeProposals } from '#shared/ikev2/proposal.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { type ClientOptions, DeviceClient } from '#test/broker/device-client.ts'

export const config: BrokerConfig = {
  udp: { address: '127.0.0.1', port: 0 },
  api: '127.0.0.1:0',
  ipsec: {
    port500: undefined,
    ikeProposals: defaultIkeProposals,
    espProposals: defaultEspProposals,
    dns: [],
    redirectTo: undefined,
  },
  publicEndpoints: [],
  mqttPort: 1883,
  keepaliveSeconds: 25,
  innerMtu: 1280,
  version: 'test',
}

/** A whole broker in this process, on loopback, in a folder of its own. */
export class BrokerFixture {
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-broker-'))
  registry!: Registry
  authority!: Authority
  broker!: RunningBroker
  readonly clients: DeviceClient[] = []
  /** Of `[pki]`; takes effect at `open`. */
  pkiUrl: string | undefined

  readonly #config: BrokerConfig

  constructor(changes: Partial<BrokerConfig> = {}) {
    this.#config = { ...config, ...changes }
  }

  /** `changes`: of the configuration. */
  static async start(changes: Partial<BrokerConfig> = {}): Promise<BrokerFixture> {
    const fixture = new BrokerFixture(changes)
    await fixture.open()
    return fixture
  }

  async open(udp = this.#config.udp, api = this.#config.api): Promise<void> {
    const ports = { clock: systemClock, suite: nativeSuite, log: silentLog }
    this.registry = await Registry.open(join(this.folder, 'data'), ports)
    this.authority = await Authority.openOrCreate(join(this.folder, 'data'), ports, { pkiUrl: this.pkiUrl })
    const parts = { ...ports, registry: this.registry, authority: this.authority }
    this.broker = await startBroker({ ...this.#config, udp, api }, parts)
  }

  async closeBroker(): Promise<void> {
    await this.broker.close()
    await this.registry.close()
  }

  /** Closes the broker and opens it again on the same port, from the disk. */
  async restart(): Promise<void> {
    const port = Number(this.broker.ready.listen.split(':').at(-1))
    await this.closeBroker()
    await this.open({ address: '127.0.0.1', port })
  }

  async end(): Promise<void> {
    for (const client of this.clients) await client.stop()
    await this.closeBroker()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async enlist(kind: 'device' | 'operator', name: string, tags: string[] = []): Promise<{ principal: Principal; key: KeyPair }> {
    const key = nativeSuite.x25519.generate()
    const store = kind === 'device' ? this.registry.devices : this.registry.operators
    return { principal: await store.addWireguard({ name, tunnelKey: toHex(key.publicKey), tags }), key }
  }

  /** A registered device or operator with its tunnel up. */
  async join(kind: 'device' | 'operator', name: string, extra: Partial<ClientOptions> & { tags?: string[] } = {}) {
    const { tags, ...options } = extra
    const { principal, key } = await this.enlist(kind, name, tags)
    const client = await this.dial(principal, key, options)
    await client.up()
    return { client, principal, key }
  }

  async dial(principal: Principal, key: KeyPair, extra: Partial<ClientOptions> = {}): Promise<DeviceClient> {
    const { fleet } = this.registry
    const client = await DeviceClient.start({
      name: principal.name,
      role: principal.kind === 'operator' ? 'operator' : 'device',
      tunnelKey: key,
      addresses: principal.addresses,
      broker: {
        tunnelKey: this.authority.tunnelKey.publicKey,
        endpoint: this.broker.ready.listen,
        inner: fleet.broker,
        routes: fleet.routes,
      },
      ...extra,
    })
    this.clients.push(client)
    return client
  }
}

/** Waits until `holds`, looking every few milliseconds; fails after `withinMs`. */
export async function eventually(holds: () => boolean | Promise<boolean>, withinMs = 30_000, what = 'it'): Promise<void> {
  const start = performance.now()
  while (!(await holds())) {
    if (performance.now() - start > withinMs) throw new Error(`${what} did not come to hold within ${withinMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
