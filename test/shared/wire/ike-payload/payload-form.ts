import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { decodePayloads, encodePayloads, lengthOfPayloads, writePayloads } from '#shared/wire/ike-payloads.ts'
import { WireError } from '#shared/wire/wire-error.ts'

export interface PayloadForm {
  /** PayloadType. */
  readonly type: number
  readonly payload: IkePayload
  /** Golden bytes behind the generic header, hex; blanks for the eye. */
  readonly body: string
  /** Of the body, bits that a reader must ignore: offset, mask. */
  readonly ignored?: readonly (readonly [offset: number, mask: number])[]
}

/** The laws that every payload keeps: golden bytes both ways, every cut, bits to ignore, and no byte written beside it. */
export function testForm(name: string, form: PayloadForm): void {
  const golden = fromHex(form.body.replaceAll(/\s/g, ''))

  test(`${name}: golden bytes both ways`, () => {
    assert.deepEqual(decodePayloads(form.type, chain(golden)), [form.payload])
    const { first, bytes } = encodePayloads([form.payload])
    assert.equal(first, form.type)
    assert.equal(toHex(bytes), toHex(chain(golden, 'first' in form.payload ? form.payload.first : 0)))
  })

  test(`${name}: written where it is told, and nowhere else`, () => {
    const length = lengthOfPayloads([form.payload])
    assert.equal(length, golden.length + 4)
    const out = new Uint8Array(length + 5).fill(0xee)
    writePayloads([form.payload], out, 2)
    assert.deepEqual([...out.subarray(0, 2), ...out.subarray(length + 2)], [0xee, 0xee, 0xee, 0xee, 0xee])
    assert.throws(() => writePayloads([form.payload], new Uint8Array(length - 1), 0), RangeError)
  })

  test(`A-19 ${name}: cut anywhere it is refused, or is a whole shorter one`, () => {
    const whole = chain(golden)
    for (let cut = 0; cut < whole.length; cut++) assert.throws(() => decodePayloads(form.type, whole.slice(0, cut)), WireError)
    for (let cut = 0; cut < golden.length; cut++) {
      const shorter = chain(golden.slice(0, cut))
      const again = readAgain(form.type, shorter)
      if (again !== undefined) assert.equal(toHex(again), toHex(shorter), `cut at ${cut}`)
    }
    assert.throws(() => decodePayloads(form.type, new Uint8Array([...whole, 0])), { name: 'WireError', code: 'trailing' })
  })

  test(`${name}: reserved bits are ignored`, () => {
    for (const [offset, mask] of form.ignored ?? []) {
      for (let bit = 1; bit < 0x100; bit <<= 1) {
        if ((mask & bit) === 0) continue
        const changed = golden.slice()
        changed[offset]! ^= bit
        assert.deepEqual(decodePayloads(form.type, chain(changed)), [form.payload], `byte ${offset}, bit ${bit}`)
      }
    }
  })
}

/** One payload with its generic header, the last of its chain. */
export function chain(body: Uint8Array, next = 0): Uint8Array {
  const out = new Uint8Array(4 + body.length)
  out.set([next, 0, out.length >> 8, out.length & 0xff])
  out.set(body, 4)
  return out
}

/** The code with which a payload of this type and body is refused. */
export function refusal(type: number, body: string): string {
  try {
    decodePayloads(type, chain(fromHex(body.replaceAll(/\s/g, ''))))
  } catch (error) {
    if (error instanceof WireError) return error.code
    throw error
  }
  return 'taken'
}

/** Decoded and encoded again; undefined where it is refused. */
function readAgain(type: number, bytes: Uint8Array): Uint8Array | undefined {
  let payloads: IkePayload[]
  try {
    payloads = decodePayloads(type, bytes)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
  return encodePayloads(payloads).bytes
}
