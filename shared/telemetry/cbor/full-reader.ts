import { concat } from '#shared/bytes/concat.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { HeadReader, Major } from './head.ts'
import { CborFloat, CborSimple, CborTag, type CborValue } from './value.ts'

/**
 * Reads what cbor-x cannot, or reads as something else (64-bit integers in the safe range, tags without building objects of them,
 * strings in chunks, simple values). Only for bytes that `scanCbor` has passed: nothing is checked again here.
 */
export function readFully(scanned: Uint8Array, exactFloats: boolean): CborValue {
  return new FullReader(scanned, exactFloats).item()
}

class FullReader {
  readonly #head: HeadReader
  readonly #exactFloats: boolean
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

  constructor(bytes: Uint8Array, exactFloats: boolean) {
    this.#head = new HeadReader(bytes)
    this.#exactFloats = exactFloats
  }

  item(): CborValue {
    const head = this.#head
    head.next()
    switch (head.major) {
      case Major.unsigned:
        return head.wideArgument
      case Major.negative:
        return smallest(-1n - BigInt(head.wideArgument))
      case Major.bytes:
        return this.#content()
      case Major.text:
        return this.#utf8.decode(this.#content())
      case Major.array:
        return this.#array()
      case Major.map:
        return this.#map()
      case Major.tag:
        return this.#tag()
      default:
        return this.#simple()
    }
  }

  /** Own memory, the chunks of an indefinite string joined. */
  #content(): Uint8Array {
    const head = this.#head
    if (!head.indefinite) return head.content().slice()
    const chunks: Uint8Array[] = []
    while (!head.takeBreak()) {
      head.next()
      chunks.push(head.content())
    }
    return concat(...chunks)
  }

  #array(): CborValue[] {
    const head = this.#head
    const items: CborValue[] = []
    if (head.indefinite) while (!head.takeBreak()) items.push(this.item())
    else for (let left = head.argument; left > 0; left--) items.push(this.item())
    return items
  }

  #map(): Map<CborValue, CborValue> {
    const head = this.#head
    const map = new Map<CborValue, CborValue>()
    const entry = (): void => {
      const key = this.item()
      map.set(key, this.item())
    }
    if (head.indefinite) while (!head.takeBreak()) entry()
    else for (let left = head.argument; left > 0; left--) entry()
    return map
  }

  #tag(): CborValue {
    const tag = this.#head.wideArgument
    const content = this.item()
    if ((tag === 2 || tag === 3) && content instanceof Uint8Array) {
      const magnitude = content.length === 0 ? 0n : BigInt(`0x${toHex(content)}`)
      return smallest(tag === 2 ? magnitude : -1n - magnitude)
    }
    return new CborTag(tag, content)
  }

  #simple(): CborValue {
    const head = this.#head
    if (head.info >= 25) {
      const value = head.float
      return this.#exactFloats && Number.isInteger(value) ? new CborFloat(value) : value
    }
    switch (head.argument) {
      case 20:
        return false
      case 21:
        return true
      case 22:
        return null
      case 23:
        return undefined
      default:
        return new CborSimple(head.argument)
    }
  }
}

const smallest = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)
