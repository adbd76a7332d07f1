import { type Delegation, decodeScope, isNameWithin, numberIn } from '#shared/enrolment/delegation.ts'
import { damaged, type EntryWay, type LedgerEntry } from '#shared/enrolment/station-ledger.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'

/** One certificate of a unit. */
export interface UnitCertificate {
  readonly der: Uint8Array
  readonly serialHex: string
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array
  readonly by: 'station' | 'broker'
}

/** What the ledger says of one unit. */
export interface UnitAccount {
  readonly unit: string
  readonly name: string
  readonly way: EntryWay
  readonly state: 'opened' | 'issued' | 'delivered' | 'failed' | 'scrapped'
  readonly openedAt: number
  readonly attempts: number
  /** The one that counts: of those that came before it none was delivered. */
  readonly certificate?: UnitCertificate
  readonly deliveredAt?: number
  readonly cause?: { readonly code: string; readonly message: string; readonly mend: string }
  readonly scrappedFor?: string
  readonly replaces?: string
  /** How often its label was printed. */
  readonly labels: number
}

/**
 * The ledger, added up. Each entry is checked against what came before it, so that no order of entries ever names a unit twice, gives
 * a name to two, or certifies what was scrapped: the station decides by it what may be written, and whoever audits reads by it.
 */
export class LineAccount {
  readonly #units = new Map<string, UnitAccount>()
  readonly #names = new Map<string, string>()
  #station = ''
  #delegation: { readonly scope: Delegation; readonly certificate: Certificate } | undefined
  #certificates = 0
  readonly #inState: Record<UnitAccount['state'], number> = { opened: 0, issued: 0, delivered: 0, failed: 0, scrapped: 0 }
  /** The last number that was given, so that the next is found at once. */
  #lastNumber = 0

  get station(): string {
    return this.#station
  }

  /** What the station may issue, and the certificate that says so. */
  get delegation(): { readonly scope: Delegation; readonly certificate: Certificate } | undefined {
    return this.#delegation
  }

  get counts(): { delivered: number; failed: number; scrapped: number; certificates: number; opened: number } {
    const { delivered, failed, scrapped } = this.#inState
    return { delivered, failed, scrapped, certificates: this.#certificates, opened: this.#units.size }
  }

  /** What the delegation still allows. */
  get quotaLeft(): number {
    const quota = this.#delegation?.scope.quota ?? 0
    return Math.max(0, quota - Math.max(this.#certificates, this.#units.size))
  }

  unit(serial: string): UnitAccount | undefined {
    return this.#units.get(serial)
  }

  /** In the order of their opening. */
  units(): Iterable<UnitAccount> {
    return this.#units.values()
  }

  bearerOf(name: string): string | undefined {
    return this.#names.get(name)
  }

  /** The next number that no unit has; undefined where the range is used up. */
  nextNumber(nameOf: (number: number) => string): number | undefined {
    const scope = this.#delegation?.scope
    if (scope === undefined) return undefined
    for (let n = this.#firstUntried(scope); n <= scope.last; n += 1) if (!this.#names.has(nameOf(n))) return n
    return undefined
  }

  /** Adds an entry; throws AditError `ledger-damaged` where it does not follow, and is as it was then. */
  add(entry: LedgerEntry): void {
    switch (entry.kind) {
      case 'begun':
        if (this.#station !== '') throw damaged('it begins twice')
        this.#station = entry.station
        return
      case 'delegated':
        this.#delegate(entry.certificate)
        return
      case 'opened':
        this.#open(entry)
        return
      default:
        this.#change(entry, this.#units.get(entry.unit) ?? stranger(entry.unit))
    }
  }

  #delegate(der: Uint8Array): void {
    const certificate = readable('a CA', () => parseCertificate(der))
    const { delegation } = certificate.extensions
    if (delegation === undefined) throw damaged('a CA without a delegation')
    const { notBefore, notAfter } = certificate
    this.#delegation = { scope: { ...readable('a CA', () => decodeScope(delegation)), notBefore, notAfter }, certificate }
  }

  #open(entry: LedgerEntry & { kind: 'opened' }): void {
    const { unit, name, way, at, replaces } = entry
    const scope = this.#delegation?.scope
    if (this.#units.has(unit)) throw damaged(`unit ${unit} is opened twice`)
    if (this.#names.has(name)) throw damaged(`two units are called ${name}`)
    if (scope === undefined || !isNameWithin(scope, name)) throw damaged(`the name ${name} is outside the delegation`)
    const fresh = { unit, name, way, state: 'opened' as const, openedAt: at, attempts: 1, labels: 0 }
    this.#units.set(unit, { ...fresh, ...(replaces !== undefined && { replaces }) })
    this.#inState.opened += 1
    this.#names.set(name, unit)
    // A name that was wished for may lie anywhere: the search begins behind the last of an unbroken row.
    const next = this.#firstUntried(scope)
    if (numberIn(scope.names, name) === next) this.#lastNumber = next
  }

  #firstUntried({ first }: Delegation): number {
    return Math.max(this.#lastNumber + 1, first)
  }

  #change(entry: UnitEntry, unit: UnitAccount): void {
    if (unit.state === 'scrapped') throw damaged(`${unit.unit} was scrapped before`)
    if (unit.state === 'delivered' && entry.kind !== 'scrapped' && entry.kind !== 'labelled')
      throw damaged(`${unit.unit} was delivered before`)
    if (entry.kind === 'issued' && entry.instead !== unit.certificate?.serialHex)
      throw damaged(`${unit.unit} gets a second certificate`)
    const after = changed(entry, unit)
    if (entry.kind === 'issued') this.#certificates += 1
    this.#inState[unit.state] -= 1
    this.#inState[after.state] += 1
    this.#units.set(unit.unit, after)
  }
}

type UnitEntry = Exclude<LedgerEntry, { kind: 'begun' | 'delegated' | 'opened' }>

/** The unit behind the entry. */
function changed(entry: UnitEntry, unit: UnitAccount): UnitAccount {
  const { cause: _past, ...going } = unit
  switch (entry.kind) {
    case 'retried':
      return { ...going, way: entry.way, state: unit.certificate ? 'issued' : 'opened', attempts: unit.attempts + 1 }
    case 'issued': {
      const { serialHex, spki } = readable('a certificate', () => parseCertificate(entry.certificate))
      return { ...going, state: 'issued', certificate: { der: entry.certificate, serialHex, spki, by: entry.by } }
    }
    case 'delivered':
      if (unit.certificate === undefined) throw damaged(`${unit.unit} is delivered without a certificate`)
      return { ...going, state: 'delivered', deliveredAt: entry.at }
    case 'failed':
      return { ...unit, state: 'failed', cause: { code: entry.code, message: entry.message, mend: entry.mend } }
    case 'scrapped':
      return { ...unit, state: 'scrapped', scrappedFor: entry.reason }
    case 'labelled':
      return { ...unit, labels: unit.labels + 1 }
  }
}

function readable<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof PkiError) throw damaged(`${what} that cannot be read (${error.message})`)
    throw error
  }
}

const stranger = (unit: string): never => {
  throw damaged(`${unit} was never opened`)
}
