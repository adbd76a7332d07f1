import { equalPublic } from '#shared/bytes/equal.ts'
import { CborError, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { STATEMENT_LIMIT } from './statement.ts'

/**
 * A set of statements on its way to a device, in parts of a message each:
 *
 *   {digest: bstr .size 16, part: uint, parts: uint, statements: [* bstr]}      part from 0
 */
export interface StatementPart {
  readonly digest: Uint8Array
  readonly part: number
  readonly parts: number
  readonly statements: readonly Uint8Array[]
}

/** Bytes of statements in a message, and messages of a set: what a device takes from whoever has the broker. */
const partLimit = 32_768
const messageLimit = partLimit + STATEMENT_LIMIT + 1_024
const partsLimit = 32

/** A set as messages; what is beyond the limit is left out. */
export function* encodeParts(digest: Uint8Array, statements: readonly Uint8Array[]): Generator<Uint8Array> {
  const groups: Uint8Array[][] = [[]]
  let length = 0
  for (const bytes of statements) {
    if (length > 0 && length + bytes.length > partLimit) {
      if (groups.length === partsLimit) break
      groups.push([])
      length = 0
    }
    groups.at(-1)!.push(bytes)
    length += bytes.length
  }
  for (const [part, group] of groups.entries())
    yield encodeCanonicalCbor({ digest, part, parts: groups.length, statements: group })
}

/** Throws CborError, and nothing else. */
export function decodePart(message: Uint8Array): StatementPart {
  const body = decodeCbor(message, { depth: 3, items: 4_096, bytes: messageLimit })
  const field = (name: string) => (body instanceof Map ? body.get(name) : undefined)
  const [digest, part, parts, statements] = [field('digest'), field('part'), field('parts'), field('statements')]
  const fits =
    digest instanceof Uint8Array &&
    digest.length === 16 &&
    Number.isInteger(part) &&
    Number.isInteger(parts) &&
    (part as number) >= 0 &&
    (part as number) < (parts as number) &&
    (parts as number) <= partsLimit &&
    Array.isArray(statements) &&
    statements.every((bytes) => bytes instanceof Uint8Array && bytes.length <= STATEMENT_LIMIT)
  if (!fits) throw new CborError('malformed', 'no part of a set of statements')
  return { digest, part: part as number, parts: parts as number, statements: statements as Uint8Array[] }
}

/** Puts parts together that come in their order; any other begins anew. */
export class StatementAssembly {
  #digest: Uint8Array | undefined
  #next = 0
  #statements: Uint8Array[] = []

  /** The whole set with its last part; undefined before. */
  take(part: StatementPart): { digest: Uint8Array; statements: readonly Uint8Array[] } | undefined {
    if (part.part === 0) {
      this.#digest = part.digest
      this.#statements = []
    } else if (this.#digest === undefined || !equalPublic(this.#digest, part.digest) || part.part !== this.#next) {
      this.#digest = undefined
      return undefined
    }
    this.#statements.push(...part.statements)
    this.#next = part.part + 1
    if (this.#next < part.parts) return undefined
    const whole = { digest: part.digest, statements: this.#statements }
    this.#digest = undefined
    this.#statements = []
    return whole
  }
}
