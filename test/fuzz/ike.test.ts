import assert from 'node:assert/strict'
import test from 'node:test'
import { equalPublic } from '#shared/bytes/equal.ts'
import { decodeIkeMessage, encodeIkeMessage } from '#shared/wire/ike-message.ts'
import { PayloadType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { decodePayloads, encodePayloads } from '#shared/wire/ike-payloads.ts'
import { chain } from '#test/shared/wire/ike-payload/payload-form.ts'
import { sampleHeader, sampleMessages } from '#test/shared/wire/sample-messages.ts'
import { type FuzzTarget, fuzz } from './fuzz.ts'
import { grammarChain, grammars } from './ike-grammar.ts'

const samples = sampleMessages.flatMap(({ payloads }) => payloads)

/** What was understood can be said again, and is understood the same. */
function sayAgain(payloads: readonly IkePayload[]): void {
  if (!payloads.every(isSayable)) return
  const said = encodePayloads(payloads)
  const again = encodePayloads(decodePayloads(said.first, said.bytes))
  assert.equal(again.first, said.first)
  assert.ok(equalPublic(again.bytes, said.bytes), 'said again, it is another thing')
}

/** Attributes and selectors that are not ours are not kept, so their payload cannot be said again. */
function isSayable(payload: IkePayload): boolean {
  if (payload.kind === 'sa') return !payload.proposals.some(({ transforms }) => transforms.some((one) => one.unknownAttribute))
  return !('selectors' in payload) || payload.selectors.length > 0
}

const payloadTargets = Object.entries(PayloadType)
  .filter(([, type]) => type !== PayloadType.None)
  .map(([name, type]): FuzzTarget => {
    const seeds = samples.map((payload) => encodePayloads([payload])).filter(({ first }) => first === type)
    const grammar = grammars[type]
    return {
      name: `payload ${name}`,
      seeds: seeds.map(({ bytes }) => bytes.subarray(4)),
      ...(grammar && { grammar }),
      run: (body) => sayAgain(decodePayloads(type, chain(body.subarray(0, 65_000)))),
    }
  })

const targets: readonly FuzzTarget[] = [
  ...payloadTargets,
  {
    // What a peer with keys can say: the first type is a byte of its choice, as it stands in the encrypted payload's header.
    name: 'chain of payloads, as an encrypted one contains it',
    seeds: sampleMessages.map(({ payloads }) => {
      const { first, bytes } = encodePayloads(payloads)
      return new Uint8Array([first, ...bytes])
    }),
    grammar: (dice) => {
      const { first, bytes } = grammarChain(dice)
      return new Uint8Array([first, ...bytes])
    },
    run: (input) => sayAgain(decodePayloads(input[0] ?? 0, input.subarray(1))),
  },
  {
    name: 'message',
    seeds: sampleMessages.map(({ payloads }) => encodeIkeMessage(sampleHeader, payloads)),
    run: (input) => sayAgain(decodeIkeMessage(withLength(input)).payloads),
  },
]

/** Nearly every change of length would end at the header; with the right length there the chain is reached. */
function withLength(input: Uint8Array): Uint8Array {
  if (input.length >= 28 && input[27]! % 4 !== 0) new DataView(input.buffer, input.byteOffset).setUint32(24, input.length)
  return input
}

for (const target of targets) {
  test(`P-13 ${target.name}: any bytes are taken or refused by WireError, each within 50 ms`, () => {
    assert.ok(target.seeds.length > 0, 'there is a good input to begin with')
    for (const seed of target.seeds) target.run(seed.slice())
    const taken = fuzz(target)
    assert.ok(taken > 0, 'some inputs are good')
  })
}
