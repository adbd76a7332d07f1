import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { initStation } from '#agent/station/io/init-station.ts'
import { type OpenOptions, OpenStation } from '#agent/station/io/open-station.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { silentLog } from '#shared/platform/log.ts'
import { ApiFixture, oneDay } from '#test/broker/api/api-fixture.ts'

export interface Terms {
  name: string
  names: string
  quota: number
  ttl: number
  tags: string[]
}

/** A broker's API and factory lines that it has authorised, each in a folder of its own. */
export class LineFixture {
  readonly fixture: ApiFixture
  readonly #t: TestContext

  private constructor(t: TestContext, fixture: ApiFixture) {
    this.#t = t
    this.fixture = fixture
  }

  static async open(t: TestContext): Promise<LineFixture> {
    return new LineFixture(t, await ApiFixture.open(t))
  }

  get registry() {
    return this.fixture.registry
  }

  ports() {
    return { suite, clock: this.fixture.clock, log: silentLog }
  }

  async claim(terms: Partial<Terms> = {}): Promise<string> {
    const all = { name: 'line-1', names: 'pump-{n}', quota: 500, ttl: 30 * oneDay, tags: ['pumps'], claimTtl: oneDay, ...terms }
    const { claim } = await this.registry.stations.authorize(all, this.registry.claims, 'admin:test')
    const { id, secret } = claim
    const { pinned } = this.registry.statements
    const of = { api: [this.fixture.api.url], ca: this.fixture.authority.rootFingerprint, ...(pinned && { fleetKey: pinned }) }
    return encodeClaim({ ...of, id, secret, role: 'station' }, suite)
  }

  async folder(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), 'adit-station-'))
    this.#t.after(() => rm(path, { recursive: true, force: true }))
    return path
  }

  /** A station's folder, as `adit station init` makes it. */
  async init(terms: Partial<Terms> = {}): Promise<string> {
    const path = await this.folder()
    const parts = await initStation({ ...this.ports(), path, token: await this.claim(terms) })
    parts.identity.close()
    return path
  }

  async open(path: string, options: Partial<OpenOptions> = {}): Promise<OpenStation> {
    const station = await OpenStation.open({ ...this.ports(), path, ...options })
    this.#t.after(() => station.close().catch(() => {}))
    return station
  }
}

/** One board over the counter, as a way does it. */
export async function deliver({ desk }: OpenStation, serial: string, name?: string): Promise<string> {
  const { name: given } = await desk.open(serial, 'image', name === undefined ? {} : { name })
  await desk.bundle(serial)
  await desk.delivered(serial, 'test')
  return given
}
