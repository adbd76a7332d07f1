import type { AgentConfig } from '#agent/core/agent-config.ts'
import { type FleetRecord, FleetTrust } from '#agent/core/fleet-trust.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { FLEET_KEY_LENGTH, keyFingerprint } from '#shared/fleet/key-fingerprint.ts'
import type { LedgerRecord } from '#shared/fleet/statement-ledger.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { readIfPresent, readSecret } from '#shared/platform/files.ts'
import type { Log } from '#shared/platform/log.ts'
import type { TimeFloor } from '#shared/time/time-floor.ts'
import type { StateFolder } from './state-folder.ts'
import { readEitherCopy, writeBothCopies } from './two-copies.ts'

interface KeeperOptions {
  readonly suite: Suite
  readonly folder: StateFolder
  readonly time: Pick<TimeFloor, 'now'>
  /** Public half of our own tunnel key. */
  readonly tunnelKey: Uint8Array
  /** What the broker said last, before this start. */
  readonly config: AgentConfig | undefined
  readonly log: Log
}

/** STATE/statements.json: base64 of everything. */
interface StoredStatements {
  readonly digest: string
  readonly statements: readonly string[]
  readonly versions: Readonly<Record<string, number>>
  readonly closed?: Readonly<Record<string, number>>
  readonly traits?: NonNullable<LedgerRecord['traits']>
}

/**
 * The pin and the statements of an agent, on disk. The pin (STATE/fleet.key, twice) is what nobody may take away: where both copies are
 * damaged the agent does not start as if it had none. Statements come again by themselves, so that damaged ones only cost a connection.
 */
export class FleetKeeper {
  readonly trust: FleetTrust
  readonly #options: KeeperOptions
  #saved: string
  #saving: Promise<void> = Promise.resolve()

  private constructor(options: KeeperOptions, trust: FleetTrust) {
    this.#options = options
    this.trust = trust
    this.#saved = this.#snapshot()
  }

  /** Throws `storage-failed` where the pin is damaged, `not-enrolled` where there is no root certificate. */
  static async open(options: KeeperOptions): Promise<FleetKeeper> {
    const { suite, folder, time, tunnelKey, config } = options
    const [root] = decodePem('CERTIFICATE', (await folder.certificates())?.root ?? '')
    if (root === undefined) throw new AditError('not-enrolled', `${folder.path} is not enrolled.`, 'Enrol with a claim first.')
    const pinned = await readPin(folder)
    const stored = await readStatements(folder)
    const record: FleetRecord = {
      ...(pinned && { pinned }),
      brokerKeys: brokerKeysOf(config),
      digest: stored?.digest ?? '',
      ledger: { ...stored, statements: (stored?.statements ?? []).map(fromText), versions: stored?.versions ?? {} },
    }
    const trust = new FleetTrust(
      { suite, fleet: fleetIdOf(parseCertificate(root), suite), tunnelKey, time: () => time.now() },
      record,
    )
    return new FleetKeeper(options, trust)
  }

  /** Whose statements count as the broker's configuration has it. */
  configure(config: AgentConfig | undefined): void {
    this.trust.setBrokerKeys(brokerKeysOf(config))
  }

  take(digest: Uint8Array, statements: readonly Uint8Array[]): void {
    const before = this.trust.pinned
    this.trust.take(digest, statements)
    this.#changed(before)
  }

  /** Throws AditError `statement-refused`. */
  learn(statements: readonly Uint8Array[]): void {
    const before = this.trust.pinned
    try {
      this.trust.learn(statements)
    } finally {
      // One that is refused takes nothing back of what was believed before it, least of all a new key.
      this.#changed(before)
    }
  }

  /** The owner of this machine pins a key; another one than the pinned only with `replace`. Resolves when it is on disk. */
  async pin(key: Uint8Array, replace: boolean): Promise<void> {
    const { suite, folder } = this.#options
    const before = this.trust.pinned
    if (before !== undefined && !equalPublic(before, key) && !replace) throw alreadyPinned(keyFingerprint(before, suite))
    await savePin(folder, key)
    this.trust.pin(key)
    this.#changed(key)
    await this.#saving
  }

  /** Resolves when everything is on disk that is to be. */
  saved(): Promise<void> {
    return this.#saving
  }

  /** In the background, one write after the other: flash is written only where something has changed. */
  #changed(pinnedBefore: Uint8Array | undefined): void {
    const { folder, log } = this.#options
    const { pinned } = this.trust
    const moved = pinned !== undefined && (pinnedBefore === undefined || !equalPublic(pinned, pinnedBefore))
    const snapshot = this.#snapshot()
    if (!moved && snapshot === this.#saved) return
    this.#saved = snapshot
    this.#saving = this.#saving
      .then(async () => {
        if (moved) await savePin(folder, pinned)
        await writeBothCopies(folder.file('statements.json'), snapshot)
      })
      .catch((error) => log.warn({ code: toAditError(error).code }, 'the statements of the fleet could not be kept'))
  }

  #snapshot(): string {
    const { digest, ledger } = this.trust.record
    const stored: StoredStatements = { ...ledger, digest, statements: ledger.statements.map(toText) }
    return `${JSON.stringify(stored)}\n`
  }
}

/** Pins a key in a folder that no agent runs on. */
export const savePin = (folder: StateFolder, key: Uint8Array): Promise<void> =>
  writeBothCopies(folder.file('fleet.key'), `${toText(key)}\n`)

/** The pinned key; undefined where there is none. Throws `storage-failed` where it is damaged, twice. */
export const readPin = (folder: StateFolder): Promise<Uint8Array | undefined> =>
  readEitherCopy(folder.file('fleet.key'), readSecret, (bytes) => {
    const key = fromText(Buffer.from(bytes).toString('latin1').trim())
    if (key.length === FLEET_KEY_LENGTH) return key
    throw new AditError(
      'storage-failed',
      `${folder.file('fleet.key')} is damaged, and so is its copy.`,
      "Write the administrator's key into it, as adit fleet show prints it.",
    )
  })

async function readStatements(folder: StateFolder): Promise<StoredStatements | undefined> {
  const parse = (bytes: Uint8Array): StoredStatements => {
    const stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as StoredStatements
    if (typeof stored.digest !== 'string' || !Array.isArray(stored.statements) || typeof stored.versions !== 'object')
      throw new TypeError('no statements')
    return stored
  }
  return readEitherCopy(folder.file('statements.json'), readIfPresent, parse).catch(() => undefined)
}

const brokerKeysOf = (config: AgentConfig | undefined): Uint8Array[] => (config?.fleet.keys ?? []).map(fromText)

const toText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const fromText = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64'))

export const alreadyPinned = (fingerprint: string): AditError =>
  new AditError(
    'fleet-key-refused',
    `Another fleet key is pinned here: ${fingerprint}.`,
    'A key hands over to the next by adit fleet rotate. Only where it is lost: fleet pin PUBLICKEY --replace.',
  )
