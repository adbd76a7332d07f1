import { fromBase64 } from '#shared/bytes/base64.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import { CborSimple, CborTag, type CborValue } from '#shared/telemetry/cbor.ts'

/** The text is not the diagnostic notation that this reader knows. */
export class EdnError extends Error {
  override readonly name = 'EdnError'
}

/**
 * Reads CBOR's extended diagnostic notation (RFC 8949 §8, RFC 8610 appendix G) as far as test files use it: JSON, `undefined`, hex,
 * big and special numbers, h'…', b64'…', '…', simple(n), n(tagged), `[_ …]` and `{_ …}`, `_n` length marks, comments with # or /…/;
 * commas are optional, as files forget them.
 */
export function parseEdn(text: string): CborValue {
  const reader = new EdnReader(text)
  const value = reader.value()
  reader.end()
  return value
}

const numberPattern = /[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)/y
const wordPattern = /-?[A-Za-z][A-Za-z0-9]*/y
const spacePattern = /(?:[\s,]|#[^\n]*|\/[^/]*\/)*/y
const markPattern = /_\d?/y

const words: Readonly<Record<string, CborValue>> = {
  true: true,
  false: false,
  null: null,
  undefined: undefined,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}

class EdnReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  end(): void {
    this.#space()
    if (this.#at < this.#text.length) throw this.#error('text after the value')
  }

  value(): CborValue {
    this.#space()
    switch (this.#text[this.#at]) {
      case '"':
        return this.#quoted('"')
      case "'":
        return new TextEncoder().encode(this.#quoted("'"))
      case '[':
        return this.#list()
      case '{':
        return this.#map()
      case '(':
        return this.#chunks()
    }
    const word = this.#match(wordPattern)
    if (word !== undefined) return this.#afterWord(word)
    const number = this.#match(numberPattern)
    if (number === undefined) throw this.#error('no value')
    this.#match(markPattern)
    if (this.#take('(')) return this.#closed(')', new CborTag(Number(number), this.value()))
    return numberOf(number)
  }

  #afterWord(word: string): CborValue {
    if (this.#text[this.#at] === "'") {
      const body = this.#quoted("'").replaceAll(/\s|#[^\n]*/g, '')
      if (word === 'h') return fromHex(body)
      if (word === 'b64') return fromBase64(body)
    }
    if (word === 'simple' && this.#take('(')) return this.#closed(')', new CborSimple(Number(this.#match(numberPattern))))
    this.#match(markPattern)
    if (!Object.hasOwn(words, word)) throw this.#error(`the word ${word}`)
    return words[word]
  }

  #list(): CborValue[] {
    this.#at++
    this.#match(markPattern)
    const items: CborValue[] = []
    while (!this.#ends(']')) items.push(this.value())
    return items
  }

  #map(): Map<CborValue, CborValue> {
    this.#at++
    this.#match(markPattern)
    const map = new Map<CborValue, CborValue>()
    while (!this.#ends('}')) {
      const key = this.value()
      this.#space()
      if (!this.#take(':')) throw this.#error('a key without a value')
      map.set(key, this.value())
    }
    return map
  }

  /** `(_ h'01', h'02')` and `(_ "a", "b")`: a string in chunks. */
  #chunks(): CborValue {
    this.#at++
    if (this.#match(markPattern) === undefined) throw this.#error('a parenthesis')
    const chunks: CborValue[] = []
    while (!this.#ends(')')) chunks.push(this.value())
    if (chunks.every((chunk) => typeof chunk === 'string')) return chunks.join('')
    return Uint8Array.from(chunks.flatMap((chunk) => (chunk instanceof Uint8Array ? [...chunk] : [])))
  }

  #quoted(quote: string): string {
    const start = ++this.#at
    while (this.#text[this.#at] !== quote) {
      if (this.#at >= this.#text.length) throw this.#error('a string without its end')
      this.#at += this.#text[this.#at] === '\\' ? 2 : 1
    }
    const body = this.#text.slice(start, this.#at++)
    this.#match(markPattern)
    if (!body.includes('\\')) return body
    const json = body
      .replaceAll(/\\u\{([0-9a-fA-F]+)\}/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
      .replaceAll("\\'", "'")
    return JSON.parse(`"${quote === '"' ? json : json.replaceAll('"', '\\"')}"`) as string
  }

  #closed(mark: string, value: CborValue): CborValue {
    this.#space()
    if (!this.#take(mark)) throw this.#error(`no ${mark}`)
    return value
  }

  #ends(mark: string): boolean {
    this.#space()
    if (this.#at >= this.#text.length) throw this.#error(`no ${mark}`)
    return this.#take(mark)
  }

  #take(mark: string): boolean {
    if (this.#text[this.#at] !== mark) return false
    this.#at++
    return true
  }

  #space(): void {
    this.#match(spacePattern)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)?.[0]
    if (match !== undefined) this.#at += match.length
    return match
  }

  #error(what: string): EdnError {
    return new EdnError(`${what} at offset ${this.#at}`)
  }
}

function numberOf(text: string): number | bigint {
  const isInteger = /^[-+]?(?:\d+|0[xX][0-9a-fA-F]+)$/.test(text)
  if (!isInteger) return Number(text)
  const magnitude = BigInt(text.replace(/^[-+]/, ''))
  const exact = text.startsWith('-') ? -magnitude : magnitude
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact
}
