import { createPrivateKey } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { type RequestOptions, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { type RunningApi, startApi } from '#broker/api/start-api.ts'
import type { EnrolmentRules } from '#broker/enrolment/enrolment-rules.ts'
import type { PeerDrop } from '#broker/gateway/peer-drops.ts'
import type { GatewayCounters, GatewayView, Presence } from '#broker/gateway/view.ts'
import { Authority } from '#broker/identity/authority.ts'
import type { ClaimRole, NewClaim } from '#broker/registry/claims.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { decodeCertsOnly } from '#shared/pki/certs-only.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'
import { silentLog } from '#shared/platform/log.ts'
import { type Clock, instant, wallTime } from '#shared/time/instant.ts'

/** A clock that stands until it is moved. */
export class HandClock implements Clock {
  ms = Date.UTC(2030, 0, 1)
  now = () => instant(this.ms)
  wall = () => wallTime(this.ms)
  forward(ms: number): void {
    this.ms += ms
  }
}

export const oneDay = 86_400_000

/** What a gateway would know, as a test says it. */
export class FakeGateway implements GatewayView {
  readonly presences = new Map<string, Presence>()
  readonly timestamps = new Map<string, Uint8Array>()
  answers = true
  inner: readonly string[] = []
  listen = '0.0.0.0:4500'
  stunEndpoints: readonly string[] = []
  presence = (principal: { name: string }): Presence => this.presences.get(principal.name) ?? { state: 'never' }
  probe = async (): Promise<boolean> => this.answers
  readonly dropped = new Map<string, PeerDrop[]>()
  drops = (principal: { name: string }): readonly PeerDrop[] => this.dropped.get(principal.name) ?? []
  /** Of all peers together, by label. */
  refused: Record<string, number> = { replayed: 11 }
  watched: string[] = []
  watch = (principals: Iterable<{ name: string }>): void => {
    for (const { name } of principals) this.watched.push(name)
  }
  lastTimestamp = (key: string): Uint8Array | undefined => this.timestamps.get(key)
  counters = (): GatewayCounters => ({
    sessions: 1,
    associations: 2,
    flows: 3,
    espSessions: 1,
    halfOpen: 2,
    failedNegotiations: 5,
    mqttClients: 4,
    outerReceived: 5,
    outerSent: 6,
    stunAnswered: 7,
    streams: 1,
    handshakes: 8,
    readings: 9,
    duplicateReadings: 10,
    drops: this.refused,
  })
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: Buffer
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of every shape
  json: any
}

export interface AskOptions {
  method?: string
  headers?: Record<string, string>
  body?: string | Uint8Array
  /** Client certificate. */
  as?: Enrolled | { key: string; cert: string }
}

export interface Enrolled {
  name: string
  identity: KeyPair
  tunnel: KeyPair
  der: Uint8Array
  key: string
  cert: string
}

/** A broker's API with its real registry and authority, over real TLS sockets on loopback. */
export class ApiFixture {
  readonly clock = new HandClock()
  readonly gateway = new FakeGateway()
  authority!: Authority
  registry!: Registry
  api!: RunningApi
  listen = '127.0.0.1:0'
  /** Of the configuration; undefined: the standard ones. Takes effect at `start`. */
  rules: EnrolmentRules | undefined
  /** Likewise. */
  shelfDays = 4_000

  /** `ms`: what the clock shows; 2030 unless said otherwise. */
  static async open(t: TestContext, ms?: number): Promise<ApiFixture> {
    const fixture = new ApiFixture()
    fixture.clock.ms = ms ?? fixture.clock.ms
    const folder = await mkdtemp(join(tmpdir(), 'adit-api-'))
    fixture.authority = await Authority.openOrCreate(folder, { suite, clock: fixture.clock })
    fixture.registry = await Registry.open(folder, { clock: fixture.clock, suite, log: silentLog })
    fixture.gateway.inner = fixture.registry.fleet.broker
    await fixture.start()
    t.after(async () => {
      await fixture.api.close()
      await fixture.registry.close()
      await rm(folder, { recursive: true, force: true })
    })
    return fixture
  }

  /** The API with other rules: the broker was stopped and started. */
  async restart(rules: EnrolmentRules): Promise<void> {
    await this.api.close()
    this.rules = rules
    await this.start()
  }

  async start(): Promise<void> {
    this.api = await startApi({
      registry: this.registry,
      authority: this.authority,
      gateway: this.gateway,
      suite,
      clock: this.clock,
      log: silentLog,
      settings: {
        listen: this.listen,
        version: '1.2.3',
        publicEndpoints: [],
        mqttPort: 1883,
        keepaliveSeconds: 25,
        innerMtu: 1280,
        ipsec: true,
        renewDays: 400,
        shelfDays: this.shelfDays,
        ...(this.rules && { enrolment: this.rules }),
      },
    })
  }

  /** One request on a connection of its own. */
  ask(path: string, { method = 'GET', headers = {}, body, as }: AskOptions = {}): Promise<Answer> {
    const options: RequestOptions = {
      method,
      headers,
      agent: false,
      rejectUnauthorized: false,
      ...(as && { key: as.key, cert: as.cert }),
    }
    return new Promise((resolve, reject) => {
      const asking = request(new URL(path, this.api.url), options, (response) => {
        buffer(response).then((bytes) => {
          const isJson = String(response.headers['content-type']).includes('json')
          const json = isJson ? JSON.parse(bytes.toString()) : undefined
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, json })
        }, reject)
      })
      asking.on('error', reject).end(body)
    })
  }

  async claim(claim: NewClaim): Promise<string> {
    const { id, secret } = await this.registry.claims.create(claim)
    return basic(hex(id), hex(secret))
  }

  /** Sends a request of ours to simpleenroll. */
  enrolWith(
    authorization: string,
    keys: { identity: KeyPair; tunnel?: KeyPair; serial?: string },
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return this.ask('/.well-known/est/simpleenroll', {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/pkcs10', accept: 'application/json', ...headers },
      body: Buffer.from(this.request(keys)).toString('base64'),
    })
  }

  request({ identity, tunnel, serial }: { identity: KeyPair; tunnel?: KeyPair; serial?: string }): Uint8Array {
    const enrolmentKey = this.authority.enrolmentKey.publicKey
    const wish = { ...(tunnel && { tunnel: { pair: tunnel, enrolmentKey } }), ...(serial !== undefined && { serial }) }
    return createRequest({ name: 'whoever', identity, ...wish }, suite)
  }

  /** The whole road of an agent or operator, to a certificate that can be presented. */
  async enrol(role: ClaimRole, claim: Omit<NewClaim, 'role'>): Promise<Enrolled> {
    const identity = suite.ecdsaP256.generate()
    const tunnel = suite.x25519.generate()
    const answer = await this.enrolWith(await this.claim({ role, ...claim }), { identity, tunnel })
    if (answer.status !== 200) throw new Error(`enrolment: ${answer.status} ${answer.body}`)
    const der = certificateIn(answer)
    return { name: claim.name ?? '', identity, tunnel, der, ...this.credentials(role, identity, der) }
  }

  credentials(role: ClaimRole, identity: KeyPair, der: Uint8Array): { key: string; cert: string } {
    const chain = [der, ...this.authority.chainOf(role)].map((part) => encodePem('CERTIFICATE', part)).join('')
    return { key: keyPem(identity), cert: chain }
  }

  async grant(operator: string, tag: string, from = 22, to = from): Promise<void> {
    await this.registry.grants.add({ operators: [operator], groups: [], tags: [tag], devices: [], ports: [{ from, to }] })
  }
}

/** The one certificate of an EST answer. */
export function certificateIn({ body }: Answer): Uint8Array {
  const [der, ...others] = decodeCertsOnly(new Uint8Array(Buffer.from(body.toString(), 'base64')))
  if (der === undefined || others.length > 0) throw new Error('an EST answer has exactly one certificate')
  return der
}

export const basic = (id: string, secret: string): string => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

export function keyPem({ publicKey, privateKey }: KeyPair): string {
  const url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
  const key = { kty: 'EC', crv: 'P-256', x: url(publicKey.subarray(1, 33)), y: url(publicKey.subarray(33)), d: url(privateKey) }
  return createPrivateKey({ format: 'jwk', key }).export({ type: 'pkcs8', format: 'pem' }) as string
}
