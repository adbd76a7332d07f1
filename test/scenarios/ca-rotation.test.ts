import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { rootsToTrust } from '#agent/core/root-trust.ts'
import { enrol } from '#agent/io/enrol.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { Authority } from '#broker/identity/authority.ts'
import type { Line } from '#broker/identity/succession.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { isAditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { judgeServer } from '#shared/pki/server-trust.ts'
import { silentLog } from '#shared/platform/log.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

const phases = ['prepared', 'trusted', 'issuing', 'retired', 'finished'] as const
type Step = (typeof phases)[number] | 'back'

async function take(authority: Authority, line: Line, step: Step): Promise<void> {
  if (step === 'prepared') await authority.rotation.prepare(line)
  else if (step === 'back') await authority.rotation.rollBack(line)
  else await authority.rotation.advance(line, step)
}

/** A broker with its API, and agents as they are on their own machines: folders, identities, TLS. */
class Town {
  readonly fixture: ApiFixture
  readonly #data: string
  readonly #agents: string
  readonly names: string[] = []

  private constructor(fixture: ApiFixture, data: string, agents: string) {
    this.fixture = fixture
    this.#data = data
    this.#agents = agents
  }

  static async open(t: TestContext, agents: number): Promise<Town> {
    const dir = await mkdtemp(join(tmpdir(), 'adit-town-'))
    const fixture = await ApiFixture.open(t)
    t.after(() => rm(dir, { recursive: true, force: true }))
    const town = new Town(fixture, join(dir, 'ca'), dir)
    await town.restart()
    for (let i = 0; i < agents; i++) await town.enrol(`pi-${i}`, await town.claim(`pi-${i}`))
    return town
  }

  /** What a kill leaves is what is on disk; the API comes back at its place. */
  async restart(): Promise<void> {
    const { fixture } = this
    const port = new URL(fixture.api.url).port
    await fixture.api.close()
    fixture.authority = await Authority.openOrCreate(this.#data, { suite, clock: fixture.clock })
    fixture.listen = `127.0.0.1:${port}`
    await fixture.start()
  }

  async claim(name: string): Promise<string> {
    const { registry, authority, api } = this.fixture
    const { id, secret } = await registry.claims.create({ role: 'device', name, ttl: 10 * 365 * 86_400_000 })
    return encodeClaim({ api: [api.url], ca: authority.rootFingerprint, id, secret, role: 'device' }, suite)
  }

  async enrol(name: string, token: string): Promise<void> {
    const folder = await StateFolder.open(join(this.#agents, name))
    const identity = await enrol({ suite, clock: this.fixture.clock, log: silentLog, folder, token, role: 'device' })
    identity.close()
    this.names.push(name)
  }

  /** An agent is awake: it asks for its configuration, and does what that says of authorities, as `DeviceAgent` does. */
  async wake(name: string): Promise<{ roots: string[] }> {
    const folder = await StateFolder.open(join(this.#agents, name))
    const identity = (await Identity.load(folder, { suite, clock: this.fixture.clock, log: silentLog }))!
    try {
      let config = await identity.api().config().catch(onlyRenewal)
      if (config === undefined || config.certificate.renewWithinSeconds !== undefined) await identity.renew()
      config = await identity.api().config()
      assert.equal(config.certificate.renewWithinSeconds, undefined)
      await identity.followRoots(config)
      assert.equal((await identity.api().config()).name, name)
      return { roots: identity.roots.map((der) => rootName({ der }, suite)) }
    } finally {
      identity.close()
    }
  }
}

/** Whose CA is retired may renew, and do nothing else. */
function onlyRenewal(error: unknown): undefined {
  if (isAditError(error) && error.code === 'certificate-refused') return undefined
  throw error
}

test('P-17 agents over TLS, some of them asleep in each phase, the broker killed in each: nobody is lost, with the same pins', async (t) => {
  const town = await Town.open(t, 11)
  const oldClaim = await town.claim('pi-late')
  let round = 0
  // One in nine sleeps in each phase; the last two sleep through it all.
  const awake = (): string[] => town.names.slice(0, 9).filter((_name, at) => at % 9 !== round % 9)
  for (const line of ['root', 'device', 'root'] as const) {
    for (const phase of phases) {
      await take(town.fixture.authority, line, phase)
      await town.restart()
      round += 1
      for (const name of awake()) await town.wake(name)
    }
  }
  const { trustedRoots, knownRoots } = town.fixture.authority.standing
  assert.deepEqual([trustedRoots.length, knownRoots.length], [1, 3])
  for (const name of town.names) assert.deepEqual((await town.wake(name)).roots, [rootName(trustedRoots[0]!, suite)], name)
  await town.enrol('pi-late', oldClaim)
  assert.deepEqual((await town.wake('pi-late')).roots, [rootName(trustedRoots[0]!, suite)], 'a claim printed before')
  assert.equal(await town.fixture.registry.authorities.withoutRoot(rootName(trustedRoots[0]!, suite)), 0)
})

test('P-17 a roll-back from each phase loses nobody who was awake, asleep, or awake in that phase alone', async (t) => {
  const town = await Town.open(t, 6)
  const [, ...others] = town.names
  for (const line of ['root', 'device'] as const) {
    for (let deepest = 0; deepest < 4; deepest++) {
      for (const phase of phases.slice(0, deepest + 1)) await take(town.fixture.authority, line, phase)
      await town.restart()
      // Agents of this round have seen the far end and nothing between.
      for (const name of others.slice(0, deepest + 1)) await town.wake(name)
      for (let at = deepest; at >= 0; at--) {
        // What the broker refuses without --force: whoever holds what is distrusted next has come for another first.
        if (at <= 1) for (const name of town.names) await town.wake(name)
        await take(town.fixture.authority, line, 'back')
        await town.restart()
        await town.wake(others.at(-1)!)
      }
      assert.equal(town.fixture.authority.rotation.rotation, undefined)
      for (const name of town.names) await town.wake(name)
    }
  }
})

test('P-17 1000 agents as what they hold, a tenth asleep in each phase, the authority read anew in each: all are believed and believe', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'adit-thousand-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const clock = new (await import('#test/broker/api/api-fixture.ts')).HandClock()
  const open = (): Promise<Authority> => Authority.openOrCreate(dir, { suite, clock })
  let authority = await open()
  const spki = p256Spki(suite.ecdsaP256.generate().publicKey)
  const issue = async (at: number) => (await authority.issue({ role: 'device', name: `pi-${at}`, spki })).der
  const agents = await Promise.all(
    Array.from({ length: 1_000 }, async (_, at) => ({ at, leaf: await issue(at), roots: [authority.rootDer] as Uint8Array[] })),
  )
  let renewals = 0
  let chain: { of?: Authority; ders: Uint8Array[] } = { ders: [] }
  const meet = async (agent: (typeof agents)[number]): Promise<void> => {
    if (chain.of !== authority) chain = { of: authority, ders: decodePem('CERTIFICATE', authority.tls.cert) }
    judgeServer(chain.ders, 'localhost', { roots: agent.roots }, clock.wall(), suite)
    const peer = authority.verifyPeer([agent.leaf], clock.wall(), { allowExpiredDays: 400 })
    if (peer.expired || authority.isSuperseded(peer.issuerHex, 'device')) {
      agent.leaf = await issue(agent.at)
      renewals += 1
    }
    const { knownRoots, links, trustedRoots } = authority.standing
    const ders = (list: readonly { der: Uint8Array }[]) => list.map(({ der }) => der)
    const told = { roots: ders(knownRoots), links: ders(links), trusted: trustedRoots.map((root) => rootName(root, suite)) }
    const next = rootsToTrust(agent.roots, told, clock.wall(), suite)
    if (next) agent.roots = ders(next)
  }
  let round = 0
  for (const line of ['root', 'device'] as const) {
    for (const phase of phases) {
      await take(authority, line, phase)
      authority = await open()
      for (const agent of agents) if (agent.at % 10 !== round % 10 && agent.at % 100 !== 99) await meet(agent)
      round += 1
    }
  }
  for (const agent of agents) await meet(agent)
  assert.equal(agents.filter(({ roots }) => Buffer.compare(roots[0]!, authority.rootDer) !== 0).length, 0)
  assert.equal(agents.filter(({ leaf }) => authority.verifyPeer([leaf], clock.wall()).expired).length, 0)
  assert.equal(renewals, 1_000, 'each renews once')
})
