import { equalPublic } from '#shared/bytes/equal.ts'
import { checkUnitNames, mostNumber } from '#shared/enrolment/delegation.ts'
import { isAditError } from '#shared/errors.ts'
import { CborError, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { wallTime } from '#shared/time/instant.ts'
import type { Statement, StatementKind } from './statement.ts'

/**
 * The payload of a statement: one map of deterministic CBOR with text keys.
 *
 *   {v: 1, kind, fleet: bstr .size 32, version: uint, notBefore: uint ms, notAfter: uint ms, … the fields of the kind}
 */

/** Longest text of a name, label or address, characters; of one host key; entries of a list. */
const textLimit = 255
const keyLineLimit = 4_096
const listLimit = 256

/** Deterministic: the same statement gives the same bytes. */
export function encodeBody(statement: Statement): Uint8Array {
  const fields: [string, CborValue][] = [['v', 1]]
  for (const [name, value] of Object.entries(statement) as [string, CborValue][]) {
    if (value === undefined) continue
    const ranges = name === 'ports' ? (value as readonly { from: number; to: number }[]).map(({ from, to }) => [from, to]) : value
    fields.push([name, ranges])
  }
  return encodeCanonicalCbor(new Map<CborValue, CborValue>(fields))
}

/**
 * Throws CborError, and nothing else. What it does not know is refused with the rest: the bytes must be the very ones that
 * `encodeBody` gives for what was read, so that no two readers can see different things in one signature.
 */
export function decodeBody(payload: Uint8Array): Statement {
  const body = decodeCbor(payload, { depth: 4, items: 4096, bytes: payload.length })
  if (!(body instanceof Map)) throw new CborError('malformed', 'a statement is a map')
  const fields = new Fields(body)
  if (fields.integer('v') !== 1) throw new CborError('malformed', 'a version of statements that this program does not know')
  const kind = fields.oneOf('kind', ['peer', 'host-keys', 'grant', 'key', 'wipe', 'delegation', 'withdrawal'])
  const statement = { ...fields.scope(), ...fieldsOf(kind, fields) } as Statement
  if (statement.notAfter <= statement.notBefore) throw new CborError('malformed', 'it ends before it begins')
  if (!equalPublic(encodeBody(statement), payload))
    throw new CborError('malformed', 'fields that this program does not know, or another order of bytes')
  return statement
}

function fieldsOf(kind: StatementKind, fields: Fields): object {
  switch (kind) {
    case 'peer':
      return {
        kind,
        id: fields.text('id'),
        name: fields.text('name'),
        role: fields.oneOf('role', ['device', 'operator']),
        tunnelKey: fields.has('tunnelKey') ? fields.bytes('tunnelKey', 32) : undefined,
        addresses: fields.texts('addresses'),
        tags: fields.texts('tags'),
        groups: fields.texts('groups'),
      }
    case 'host-keys':
      return { kind, device: fields.text('device'), service: fields.text('service'), keys: fields.texts('keys', keyLineLimit) }
    case 'grant':
      return {
        kind,
        id: fields.text('id'),
        operators: fields.texts('operators'),
        groups: fields.texts('groups'),
        devices: fields.texts('devices'),
        tags: fields.texts('tags'),
        ports: fields.ranges('ports'),
      }
    case 'key':
      return { kind, key: fields.bytes('key', 32) }
    case 'wipe':
      return {
        kind,
        id: fields.text('id'),
        device: fields.text('device'),
        identity: fields.bytes('identity', 32),
        next: fields.has('next') ? fields.bytes('next', 32) : undefined,
      }
    case 'delegation':
      return {
        kind,
        id: fields.text('id'),
        station: fields.text('station'),
        key: fields.bytes('key', 32),
        ...fields.numbers(),
        tags: fields.texts('tags'),
      }
    case 'withdrawal':
      return {
        kind,
        of: fields.oneOf('of', ['peer', 'host-keys', 'grant', 'wipe', 'delegation']),
        subject: fields.text('subject'),
      }
  }
}

/** The fields of the map, each checked when it is taken. */
class Fields {
  readonly #map: ReadonlyMap<CborValue, CborValue>

  constructor(map: ReadonlyMap<CborValue, CborValue>) {
    this.#map = map
  }

  has(name: string): boolean {
    return this.#map.has(name)
  }

  scope(): object {
    return {
      fleet: this.bytes('fleet', 32),
      version: this.integer('version'),
      notBefore: wallTime(this.integer('notBefore')),
      notAfter: wallTime(this.integer('notAfter')),
    }
  }

  integer(name: string): number {
    const value = this.#map.get(name)
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong(name, 'a whole number')
    return value as number
  }

  bytes(name: string, length: number): Uint8Array {
    const value = this.#map.get(name)
    if (!(value instanceof Uint8Array) || value.length !== length) throw wrong(name, `${length} bytes`)
    return value
  }

  text(name: string): string {
    return checkText(name, this.#map.get(name), textLimit)
  }

  texts(name: string, longest = textLimit): string[] {
    return this.#list(name).map((item) => checkText(name, item, longest))
  }

  oneOf<const T extends string>(name: string, choices: readonly T[]): T {
    const choice = choices.find((text) => text === this.#map.get(name))
    if (choice === undefined) throw wrong(name, choices.join(' or '))
    return choice
  }

  /** Pairs of ports, both ends in the range. */
  ranges(name: string): { from: number; to: number }[] {
    return this.#list(name).map((item) => {
      const [from, to, more] = Array.isArray(item) ? (item as CborValue[]) : []
      if (!isPort(from) || !isPort(to) || from > to || more !== undefined) throw wrong(name, 'ranges of ports')
      return { from, to }
    })
  }

  /** Names of a station's devices: a pattern with a counter, and the numbers of it that are the station's. */
  numbers(): { names: string; first: number; last: number } {
    const [names, first, last] = [this.text('names'), this.integer('first'), this.integer('last')]
    if (!isPattern(names)) throw wrong('names', 'a pattern of names with a counter')
    if (first < 1 || first > last || last > mostNumber) throw wrong('last', 'the end of a range of numbers')
    return { names, first, last }
  }

  #list(name: string): readonly CborValue[] {
    const value = this.#map.get(name)
    if (!Array.isArray(value) || value.length > listLimit) throw wrong(name, `a list of at most ${listLimit}`)
    return value
  }
}

/** Printable: a statement is shown to a person before it is signed. */
function checkText(name: string, value: CborValue, longest: number): string {
  if (typeof value !== 'string' || value === '' || value.length > longest || !/^[\x20-\x7e]*$/.test(value))
    throw wrong(name, `printable text of at most ${longest} characters`)
  return value
}

function isPattern(text: string): boolean {
  try {
    return checkUnitNames(text) === text
  } catch (error) {
    if (isAditError(error)) return false
    throw error
  }
}

const isPort = (value: CborValue): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535

const wrong = (name: string, wanted: string): CborError => new CborError('malformed', `its field "${name}" is not ${wanted}`)
