import { equalPublic } from '#shared/bytes/equal.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { CborError, type CborLimits, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { EdnError, parseEdn } from './cbor/edn.ts'
import { sameCbor } from './cbor/same.ts'
import { type Fields, isFields, isFieldsArray, optionalText } from './fields.ts'
import { BrokenFormat, type Verdicts } from './verdict.ts'

/** Vectors say how CBOR is read, not how much of it we take from a stranger: deep and large ones are judged too. */
const vectorLimits: Partial<CborLimits> = { depth: 2000, items: 1_000_000, bytes: 16 << 20, tags: true }

/** Three formats: appendix_a.json, `{cases: [{hex}]}` of broken items, and the cbor-wg's documents as .edn or .cbor. */
export function recognises(path: string, contents: unknown): boolean {
  if (contents instanceof Uint8Array) return path.endsWith('.edn') || path.endsWith('.cbor')
  return isAppendixA(contents) || isNotWellFormed(contents)
}

const isAppendixA = (contents: unknown): contents is readonly Fields[] =>
  isFieldsArray(contents) && contents.length > 0 && contents.every((one) => typeof one.hex === 'string' && 'roundtrip' in one)

const isNotWellFormed = (contents: unknown): contents is { cases: readonly Fields[] } =>
  isFields(contents) && isFieldsArray(contents.cases) && contents.cases.every((one) => typeof one.hex === 'string')

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (isAppendixA(contents)) {
    for (const [index, one] of contents.entries()) {
      if (isObsoleteSimple(String(one.hex))) verdicts.skip('a simple value below 32 in two bytes: not well-formed since RFC 8949')
      else verdicts.settle(path, `${index} ${String(one.hex).slice(0, 40)}`, () => judgeAppendixA(one))
    }
  } else if (isNotWellFormed(contents)) {
    for (const [index, one] of contents.cases.entries())
      verdicts.settle(path, `${index} ${String(one.desc ?? one.hex)}`, () => mustRefuse(fromHex(String(one.hex))))
  } else if (contents instanceof Uint8Array) judgeDocument(path, contents, verdicts)
  else throw new BrokenFormat(`${path} is in none of the formats of CBOR vectors`)
}

/** f818 to f81f had a meaning in RFC 7049 appendix A, which the file was made from; RFC 8949 §3.3 forbids them. */
const isObsoleteSimple = (hex: string): boolean => /^f81[89a-f]$/i.test(hex)

/** `{hex, roundtrip, decoded | diagnostic}`. */
function judgeAppendixA(one: Fields): string | undefined {
  const hex = fromHex(String(one.hex))
  const diagnostic = optionalText(one, 'diagnostic')
  const stated = diagnostic === undefined ? (one.decoded as CborValue) : parseEdn(diagnostic)
  return judgeItem(hex, stated, one.roundtrip !== false, diagnostic === undefined)
}

/** `{title, tests: [{description, encoded, decoded, roundtrip?, fail?}]}`, written in diagnostic notation or in CBOR itself. */
function judgeDocument(path: string, bytes: Uint8Array, verdicts: Verdicts): void {
  let tests: CborValue
  try {
    const document = path.endsWith('.edn') ? parseEdn(new TextDecoder().decode(bytes)) : decodeCbor(bytes, vectorLimits)
    tests = document instanceof Map ? document.get('tests') : undefined
  } catch (error) {
    if (error instanceof EdnError || error instanceof CborError || error instanceof RangeError)
      throw new BrokenFormat(`${path} cannot be read: ${error.message}`)
    throw error
  }
  if (!Array.isArray(tests)) throw new BrokenFormat(`${path} has no tests`)
  for (const [index, test] of tests.entries()) {
    const field = (name: string): CborValue => (test instanceof Map ? test.get(name) : undefined)
    const encoded = field('encoded')
    const id = `${index} ${String(field('description') ?? '')}`
    if (!(encoded instanceof Uint8Array)) verdicts.fail(path, id, 'the test has no encoded bytes')
    else if (field('fail') === true || field('invalid') === true) verdicts.settle(path, id, () => mustRefuse(encoded))
    else if (!(test instanceof Map) || !test.has('decoded')) verdicts.skip('CBOR test that states no decoded value')
    else verdicts.settle(path, id, () => judgeItem(encoded, field('decoded'), field('roundtrip') !== false, false))
  }
}

/** Read with and without exact floats; where the vector says so, the same bytes must come back from the canonical encoder. */
function judgeItem(encoded: Uint8Array, stated: CborValue, roundtrip: boolean, looseNumbers: boolean): string | undefined {
  const value = decodeCbor(encoded, vectorLimits)
  if (!sameCbor(value, stated, looseNumbers)) return 'was read as another value'
  const exact = decodeCbor(encoded, { ...vectorLimits, exactFloats: true })
  if (!sameCbor(exact, stated, looseNumbers)) return 'was read as another value with exact floats'
  const again = encodeCanonicalCbor(exact)
  if (roundtrip && !equalPublic(again, encoded)) return `was written again as ${toHex(again).slice(0, 80)}`
  if (!sameCbor(decodeCbor(again, vectorLimits), value)) return 'changed on the way through our encoder'
  return undefined
}

function mustRefuse(encoded: Uint8Array): string | undefined {
  try {
    decodeCbor(encoded, vectorLimits)
  } catch (error) {
    return error instanceof CborError ? undefined : `threw ${String(error)} instead of a CborError`
  }
  return 'was taken although it is broken'
}
