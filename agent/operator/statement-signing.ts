import type { PendingStatements } from '#agent/operator/operator-api.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { AditError } from '#shared/errors.ts'
import { refused, type Statement, type StatementSigner, signStatement, subjectOf } from '#shared/fleet/statement.ts'
import { decodeBody } from '#shared/fleet/statement-body.ts'
import { CborError } from '#shared/telemetry/cbor.ts'
import { type Duration, days, wallTime } from '#shared/time/instant.ts'

/** How early a statement begins, for devices whose clocks are behind. */
const lead = days(1)
/** A key that hands over does so for good: devices that lie on a shelf for years must be able to follow. */
const keyLife = days(36_500)

/** Signs drafts one after the other, each with a version above the last. */
export class StatementSigning {
  /** The last version given. */
  version: number
  readonly #signer: StatementSigner
  readonly #fleet: Uint8Array
  readonly #now: number
  readonly #life: Duration

  /** `now`: wall-clock ms of this machine; `life`: of what the registry sets no end to. */
  constructor(signer: StatementSigner, options: { fleet: Uint8Array; version: number; now: number; life: Duration }) {
    this.#signer = signer
    this.#fleet = options.fleet
    this.version = options.version
    this.#now = options.now
    this.#life = options.life
  }

  /** Throws AditError `statement-refused` for a draft of another fleet, or one that no statement can say. */
  sign(draft: Statement): Uint8Array {
    if (!equalPublic(draft.fleet, this.#fleet)) throw refused('the draft is for another fleet')
    const notAfter = wallTime(Math.min(draft.notAfter, this.#now + this.#life))
    return this.#signAs({ ...draft, notAfter })
  }

  /** The hand-over to the next key. */
  signKey(key: Uint8Array): Uint8Array {
    const span = { version: 0, notBefore: wallTime(0), notAfter: wallTime(this.#now + keyLife) }
    return this.#signAs({ kind: 'key', key, fleet: this.#fleet, ...span })
  }

  #signAs(statement: Statement): Uint8Array {
    this.version = Math.max(Math.floor(this.#now), this.version + 1)
    const notBefore = wallTime(Math.max(0, Math.floor(this.#now) - lead))
    return signStatement({ ...statement, version: this.version, notBefore }, this.#signer)
  }
}

/** The drafts of a document, each the one that its line names. Throws AditError `usage` for what is no such document. */
export function draftsIn(document: unknown): { fleet: Uint8Array; drafts: { reason: string; draft: Statement }[] } {
  const { fleet, pending } = (document ?? {}) as Partial<PendingStatements>
  const fleetId = Uint8Array.from(Buffer.from(typeof fleet === 'string' ? fleet : '', 'base64'))
  if (fleetId.length !== 32 || !Array.isArray(pending)) throw notPending()
  return { fleet: fleetId, drafts: pending.map(draftOf) }
}

function draftOf(item: PendingStatements['pending'][number]): { reason: string; draft: Statement } {
  try {
    const draft = decodeBody(Uint8Array.from(Buffer.from(String(item.draft), 'base64')))
    // Hand-overs are made here alone: one that somebody else proposes would give the fleet away.
    if (draft.kind === 'key' || subjectOf(draft) !== item.subject) throw notPending()
    return { reason: String(item.reason), draft }
  } catch (error) {
    if (error instanceof CborError) throw notPending(error)
    throw error
  }
}

const notPending = (cause?: unknown): AditError =>
  new AditError('usage', 'That is no list of statements to sign.', 'Make it with: adit-broker fleet pending --json.', { cause })
