import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { Grant } from '#broker/policy/grant.ts'
import type { Order } from '#broker/registry/orders.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { StoredStatement } from '#broker/registry/statements.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import { type Statement, signStatement, subjectOf } from '#shared/fleet/statement.ts'
import { type Clock, days, seconds, wallTime } from '#shared/time/instant.ts'
import { delegationBehind } from './station-vouching.ts'
import { contentKey, grantDraft, hostKeysDraft, peerDraft, wipeDraft } from './wanted-statements.ts'

interface SourceParts {
  registry: Pick<Registry, 'directory' | 'policy' | 'hostKeys' | 'statements' | 'settings' | 'orders' | 'stations'>
  authority: Pick<AuthorityFace, 'fleetId' | 'statementKey'>
  suite: Suite
  clock: Clock
}

/** The statements of one end, under a name that changes with what they say. */
export interface StatementSet {
  /** 16 bytes. */
  readonly digest: Uint8Array
  readonly statements: readonly Uint8Array[]
}

/** The broker's own statements: their life, how early they begin for slow clocks, and how often they are made anew. */
const ownLife = days(400)
const ownLead = days(1)
const ownEpoch = days(90)
/** Signed ones kept, since a device asks for the same again. */
const cacheLimit = 16_384
/** Withdrawals told to a device, the newest. */
const withdrawalLimit = 64
const versionKey = 'fleet.version'
/** Versions are reserved so far ahead, ms: no more, or a broker that is started again and again runs ahead of the clock, and of whoever signs by it. */
const versionStep = seconds(1)

/**
 * What each end is told of others. Under a pinned key, what the administrator has signed; without one, the same statements signed here
 * and now: the ends have one way of reading them, and a fleet without an administrator's key trusts its broker as it always did.
 */
export class StatementSource {
  readonly #parts: SourceParts
  readonly #signed = new Map<string, Uint8Array>()
  #version: number
  #reserved: number

  private constructor(parts: SourceParts, version: number, reserved: number) {
    this.#parts = parts
    this.#version = version
    this.#reserved = reserved
  }

  static async open(parts: SourceParts): Promise<StatementSource> {
    const { settings } = parts.registry
    const last = Number((await settings.get(versionKey)) ?? 0)
    const reserved = Math.max(parts.clock.wall(), last) + versionStep
    await settings.set(versionKey, String(reserved))
    return new StatementSource(parts, last, reserved)
  }

  /** Whose statements count: Ed25519, 32 bytes each. */
  get keys(): Uint8Array[] {
    const { registry, authority } = this.#parts
    return [registry.statements.pinned ?? authority.statementKey.publicKey]
  }

  /** For a device: itself, its grants, the operators whom they name, and an order that waits for it. */
  forDevice(device: Principal): StatementSet {
    const { fleet } = this
    const now = this.#parts.clock.wall()
    const grants = this.#parts.registry.policy.grants.filter((grant) => concerns(grant, device, now))
    const operators = new Set(grants.flatMap((grant) => this.#operatorsOf(grant)))
    const drafts: Statement[] = [
      peerDraft(fleet, device),
      ...grants.flatMap((grant) => grantDraft(fleet, grant) ?? []),
      ...[...operators].map((operator) => peerDraft(fleet, operator)),
    ]
    const order = this.#parts.registry.orders.open(device.id)
    if (order) drafts.push(wipeDraft(fleet, order, device, this.#parts.suite))
    return this.#set(drafts)
  }

  /**
   * The order to forget this fleet that waits for a device, also for one that is revoked, with the links by which a pinned key is followed;
   * `statements` is empty while nobody whose word counts has signed it.
   */
  orderFor(device: Principal): { order: Order; statements: readonly Uint8Array[] } | undefined {
    const { registry, suite } = this.#parts
    const order = registry.orders.open(device.id)
    if (order === undefined) return undefined
    const draft = wipeDraft(this.fleet, order, device, suite)
    const { pinned } = registry.statements
    if (pinned === undefined) {
      const own = this.#own(draft)
      return { order, statements: own ? [own.bytes] : [] }
    }
    const entry = registry.statements.of(subjectOf(draft))
    if (entry?.signer !== toHex(pinned) || entry.statement.kind !== 'wipe') return { order, statements: [] }
    const links = [...registry.statements.all()].filter(({ statement }) => statement.kind === 'key')
    return { order, statements: [...links, entry].map(({ bytes }) => bytes) }
  }

  /** For an operator who looks at a device: the device and its host keys, the operator, and the grants between them. */
  async forOperator(operator: Principal, device: Principal): Promise<StatementSet> {
    const { fleet } = this
    const { hostKeys, policy } = this.#parts.registry
    return this.#set([
      peerDraft(fleet, device),
      ...(await hostKeys.of(device.id)).map((entry) => hostKeysDraft(fleet, device, entry)),
      peerDraft(fleet, operator),
      ...policy.grantsBetween(operator, device, this.#parts.clock.wall()).flatMap((grant) => grantDraft(fleet, grant) ?? []),
    ])
  }

  /** What statements call the fleet. */
  get fleet(): Uint8Array {
    return this.#parts.authority.fleetId
  }

  #set(drafts: readonly Statement[]): StatementSet {
    const { suite, registry } = this.#parts
    const { pinned } = registry.statements
    const held = pinned === undefined ? drafts.map((draft) => this.#own(draft)) : this.#underKey(drafts, toHex(pinned))
    const said = held.filter((entry) => entry !== undefined)
    const names = said.map(({ name }) => name).sort()
    return {
      digest: suite.hash('sha256', Buffer.from(names.join())).subarray(0, 16),
      statements: said.map(({ bytes }) => bytes),
    }
  }

  /** The administrator's, of these subjects: how keys follow one another, then what holds, then what no longer does. */
  #underKey(drafts: readonly Statement[], signer: string): { name: string; bytes: Uint8Array }[] {
    const { statements } = this.#parts.registry
    const subjects = new Set(drafts.map(subjectOf))
    const links: StoredStatement[] = []
    const withdrawn: StoredStatement[] = []
    for (const entry of statements.all()) {
      if (entry.statement.kind === 'key') links.push(entry)
      else if (entry.statement.kind === 'withdrawal' && entry.signer === signer) withdrawn.push(entry)
    }
    withdrawn.sort((a, b) => b.statement.version - a.statement.version)
    const held = new Map<string, StoredStatement>()
    for (const subject of subjects)
      for (const entry of this.#thatCount(statements.of(subject), signer)) held.set(subjectOf(entry.statement), entry)
    return [...links, ...held.values(), ...withdrawn.slice(0, withdrawalLimit)].map(({ bytes, statement, signer: by }) => ({
      name: `${subjectOf(statement)} ${statement.version} ${by}`,
      bytes,
    }))
  }

  /** The administrator's word; or a station's, behind the delegation by which it counts. */
  #thatCount(entry: StoredStatement | undefined, signer: string): StoredStatement[] {
    const { registry, clock } = this.#parts
    if (entry === undefined) return []
    if (entry.signer === signer) return [entry]
    const delegation = delegationBehind(registry, entry, clock.wall())
    return delegation === undefined ? [] : [delegation, entry]
  }

  /** The broker's own word; undefined for what no statement can say, such as a list of a thousand names. */
  #own(draft: Statement): { name: string; bytes: Uint8Array } | undefined {
    const { suite, authority, clock } = this.#parts
    const wall = clock.wall()
    const name = `${contentKey(draft, suite)} ${Math.floor(wall / ownEpoch)} ${toHex(authority.statementKey.publicKey)}`
    const known = this.#signed.get(name)
    if (known) return { name, bytes: known }
    const span = { notBefore: wallTime(wall - ownLead), notAfter: wallTime(Math.min(draft.notAfter, wall + ownLife)) }
    try {
      const bytes = signStatement(
        { ...draft, ...span, version: this.#nextVersion(wall) },
        { suite, pair: authority.statementKey },
      )
      this.#signed.set(name, bytes)
      if (this.#signed.size > cacheLimit) this.#signed.delete(this.#signed.keys().next().value as string)
      return { name, bytes }
    } catch (error) {
      if (isAditError(error) && error.code === 'statement-refused') return undefined
      throw error
    }
  }

  /** Grows over restarts, also where the clock has stepped back in between. */
  #nextVersion(wall: number): number {
    this.#version = Math.max(Math.floor(wall), this.#version + 1)
    if (this.#version >= this.#reserved) {
      this.#reserved = this.#version + versionStep
      // A floor that is not written costs something only where the clock steps back too.
      void this.#parts.registry.settings.set(versionKey, String(this.#reserved)).catch(() => {})
    }
    return this.#version
  }

  #operatorsOf(grant: Grant): Principal[] {
    const { directory } = this.#parts.registry
    const named = grant.operators.flatMap((name) => directory.byName('operator', name) ?? [])
    const grouped =
      grant.groups.length === 0
        ? []
        : [...directory.all('operator')].filter(({ groups }) => groups.some((name) => grant.groups.includes(name)))
    return [...named, ...grouped].filter(({ revokedAt }) => revokedAt === undefined)
  }
}

const concerns = (grant: Grant, device: Principal, now: number): boolean =>
  (grant.until === undefined || now < grant.until) &&
  (grant.devices.includes(device.name) || grant.tags.some((tag) => device.tags.includes(tag)))
