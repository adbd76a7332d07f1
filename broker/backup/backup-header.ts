import { AditError } from '#shared/errors.ts'

/**
 * The beginning of a backup, in the clear and authenticated by every chunk that follows (`sealed-chunks.ts`).
 *
 *   "ADITBKUP"  version u16  length u16  header: that many bytes of JSON  check: 16 bytes
 *
 * `check` is made of the key: it tells a wrong passphrase from a damaged file.
 */
export interface BackupHeader {
  /** scrypt (RFC 7914): salt of 16 bytes in hex, and its costs. */
  readonly kdf: { readonly name: 'scrypt'; readonly salt: string; readonly n: number; readonly r: number; readonly p: number }
  /** Wall-clock ms. */
  readonly made: number
  /** The program's version. */
  readonly by: string
  /** What statements call the fleet, hex. */
  readonly fleet: string
  /** Which broker's life it is a copy of. */
  readonly incarnation: Incarnation
}

/** One life of a data folder: each restore begins another. */
export interface Incarnation {
  /** 32 hex digits, random. */
  readonly id: string
  /** How many restores lie before it, plus one. */
  readonly epoch: number
}

export const MAGIC = Buffer.from('ADITBKUP', 'latin1')
const formatVersion = 1
export const FIXED_LENGTH = MAGIC.length + 4
export const CHECK_LENGTH = 16
/** Costs that are taken: more would only keep us busy with what a stranger has written there. */
const mostCost = { n: 2 ** 20, r: 16, p: 4 }

export function encodeHeader(header: BackupHeader): Uint8Array {
  const text = Buffer.from(JSON.stringify(header), 'utf8')
  const fixed = Buffer.alloc(FIXED_LENGTH)
  MAGIC.copy(fixed)
  fixed.writeUInt16BE(formatVersion, MAGIC.length)
  fixed.writeUInt16BE(text.length, MAGIC.length + 2)
  return Buffer.concat([fixed, text])
}

/** How many bytes follow the fixed part. Throws AditError `backup-damaged` or `backup-newer`. */
export function headerLength(fixed: Uint8Array): number {
  const bytes = Buffer.from(fixed)
  if (bytes.length < FIXED_LENGTH || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw damaged('it does not begin as a backup does')
  const version = bytes.readUInt16BE(MAGIC.length)
  if (version > formatVersion)
    throw new AditError(
      'backup-newer',
      `The backup is of format ${version}, and this program knows ${formatVersion}.`,
      'Restore it with the release that made it, or a newer one.',
    )
  return bytes.readUInt16BE(MAGIC.length + 2)
}

/** Throws AditError `backup-damaged`. */
export function decodeHeader(text: Uint8Array): BackupHeader {
  try {
    const header = JSON.parse(Buffer.from(text).toString('utf8')) as BackupHeader
    const { kdf, made, by, fleet, incarnation } = header
    const isCost = (value: unknown, most: number): boolean =>
      Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most
    const isKdf = kdf.name === 'scrypt' && /^[0-9a-f]{32}$/.test(kdf.salt)
    const isCheap = isCost(kdf.n, mostCost.n) && isCost(kdf.r, mostCost.r) && isCost(kdf.p, mostCost.p)
    const isWhole = Number.isSafeInteger(made) && typeof by === 'string' && /^[0-9a-f]{64}$/.test(fleet)
    if (isKdf && isCheap && isWhole && isIncarnation(incarnation)) return header
  } catch {
    // Fall through.
  }
  throw damaged('its header cannot be read')
}

export const isIncarnation = (value: unknown): value is Incarnation =>
  typeof value === 'object' &&
  value !== null &&
  /^[0-9a-f]{32}$/.test(String((value as Incarnation).id)) &&
  Number.isSafeInteger((value as Incarnation).epoch)

export const damaged = (why: string): AditError =>
  new AditError('backup-damaged', `The backup is damaged: ${why}.`, 'Use another copy of it. Nothing was written.')
