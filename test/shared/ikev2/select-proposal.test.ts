import assert from 'node:assert/strict'
import test from 'node:test'
import {
  defaultEspProposals,
  defaultIkeProposals,
  formatProposal,
  offerOf,
  parseProposal,
  parseProposals,
} from '#shared/ikev2/proposal.ts'
import { defectOf } from '#shared/ikev2/proposal-rules.ts'
import { checkAnswer, idOf, keyLengthOf, type SelectOptions, selectProposal } from '#shared/ikev2/select-proposal.ts'
import { Encryption, KeyExchangeMethod, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal, Transform } from '#shared/wire/ike-payload/payload.ts'
import fc from '#test/lab/properties.ts'

const { Ike, Esp } = ProtocolId
const espSpi = Uint8Array.of(0xc0, 0, 0, 1)
const spiOf = (protocol: number): Uint8Array => (protocol === Esp ? espSpi : new Uint8Array())

/** What a peer offers, in its own words. */
const offers = (protocol: number, ...texts: string[]): Proposal[] => offerOf(parseProposals(texts, protocol), spiOf(protocol))

/** The text of what is chosen; undefined where nothing is. */
function choose(
  offered: readonly Proposal[],
  allowed: readonly Proposal[],
  protocol: number,
  options?: SelectOptions,
): string | undefined {
  const selection = selectProposal(offered, allowed, protocol, options)
  return 'chosen' in selection ? `${selection.chosen.number} ${formatProposal(selection.chosen)}` : undefined
}

test('our order of preference decides, within what is offered', () => {
  const allowed = parseProposals(['aes256gcm16-aes128gcm16-prfsha384-prfsha256-x25519-ecp256', 'aes256-sha256-modp2048'], Ike)
  const chosen = (...texts: string[]): string | undefined => choose(offers(Ike, ...texts), allowed, Ike)
  assert.equal(chosen('aes128gcm16-aes256gcm16-prfsha256-prfsha384-ecp256-x25519'), '1 aes256gcm16-prfsha384-x25519')
  assert.equal(chosen('aes256-sha256-modp2048', 'aes128gcm16-prfsha256-ecp256'), '2 aes128gcm16-prfsha256-ecp256')
  assert.equal(chosen('aes256-sha256-modp2048'), '1 aes256-sha256-modp2048')
  assert.equal(chosen('aes128-sha256-modp2048'), undefined)
  assert.equal(chosen('aes256gcm16-prfsha256-modp2048'), undefined, 'the group of one proposal does not serve another')
})

test('the choice has number and SPI of the offer, and one transform a type', () => {
  const selection = selectProposal(
    offers(Esp, 'aes128-sha256', 'aes256gcm16-aes128gcm16-x25519-esn-noesn'),
    defaultEspProposals,
    Esp,
  )
  assert.ok('chosen' in selection)
  assert.equal(selection.chosen.number, 2)
  assert.equal(selection.chosen.spi, espSpi)
  assert.equal(formatProposal(selection.chosen), 'aes256gcm16-x25519-esn')
  assert.equal(idOf(selection.chosen, TransformType.Encryption), Encryption.AesGcm16)
  assert.equal(idOf(selection.chosen, TransformType.Integrity), 0)
  assert.equal(keyLengthOf(selection.chosen), 256)
})

test('an allowed group that the peer has already computed is chosen', () => {
  const offered = offers(Ike, 'aes256gcm16-prfsha256-modp4096-ecp384-x25519')
  assert.equal(choose(offered, defaultIkeProposals, Ike), '1 aes256gcm16-prfsha256-x25519')
  assert.equal(choose(offered, defaultIkeProposals, Ike, { guess: KeyExchangeMethod.EcpP384 }), '1 aes256gcm16-prfsha256-ecp384')
  const strict = parseProposals(['aes256gcm16-prfsha256-x25519'], Ike)
  assert.equal(choose(offered, strict, Ike, { guess: KeyExchangeMethod.EcpP384 }), '1 aes256gcm16-prfsha256-x25519')
})

test('PFS: demanded, left out, or at the choice of the peer', () => {
  const pick = (offer: string, allow: string, options?: SelectOptions): string | undefined =>
    choose(offers(Esp, offer), parseProposals([allow], Esp), Esp, options)
  assert.equal(pick('aes256gcm16', 'aes256gcm16-x25519'), undefined)
  assert.equal(pick('aes256gcm16-x25519', 'aes256gcm16'), undefined)
  assert.equal(pick('aes256gcm16', 'aes256gcm16-x25519-modpnone'), '1 aes256gcm16')
  assert.equal(pick('aes256gcm16-x25519', 'aes256gcm16-x25519-modpnone'), '1 aes256gcm16-x25519')
  assert.equal(pick('aes256gcm16-ecp256-modpnone', 'aes256gcm16-x25519-modpnone'), '1 aes256gcm16-modpnone')
  assert.equal(pick('aes256gcm16-ecp256-modpnone', 'aes256gcm16'), '1 aes256gcm16-modpnone')
  assert.equal(pick('aes256gcm16', 'aes256gcm16-x25519', { withoutKeyExchange: true }), '1 aes256gcm16')
  assert.equal(pick('aes256gcm16-modp2048', 'aes256gcm16-x25519', { withoutKeyExchange: true }), '1 aes256gcm16')
})

test('ESN: ours first, what is offered only', () => {
  const allowed = parseProposals(['aes256gcm16-esn-noesn'], Esp)
  assert.equal(choose(offers(Esp, 'aes256gcm16-noesn-esn'), allowed, Esp), '1 aes256gcm16-esn')
  assert.equal(choose(offers(Esp, 'aes256gcm16-noesn'), allowed, Esp), '1 aes256gcm16')
  assert.equal(choose(offers(Esp, 'aes256gcm16-esn'), parseProposals(['aes256gcm16'], Esp), Esp), undefined)
})

test('GMAC and NULL are taken where a policy names them, and nowhere else', () => {
  for (const text of ['aes256gmac-x25519', 'null-sha256-x25519']) {
    assert.equal(choose(offers(Esp, text), defaultEspProposals, Esp), undefined)
    assert.equal(choose(offers(Esp, text), parseProposals(['default', text], Esp), Esp), `1 ${text}`)
  }
})

const good: Record<number, readonly Transform[]> = {
  [Ike]: parseProposal('aes256gcm16-prfsha256-x25519', Ike).transforms,
  [Esp]: parseProposal('aes256gcm16-x25519-esn', Esp).transforms,
}
const bare = (protocol: number, transforms: readonly Transform[]): Proposal => ({
  number: 1,
  protocol,
  spi: spiOf(protocol),
  transforms,
})
const without = (protocol: number, type: number): Transform[] => good[protocol]!.filter((one) => one.type !== type)
const type = TransformType

test('A-16 a group that is unknown or for private use is none', () => {
  for (const id of [0, 3, 4, 17, 33, 1_025, 32_768, 65_535]) {
    const proposal = bare(Ike, [...without(Ike, type.KeyExchange), { type: type.KeyExchange, id }])
    assert.equal(choose([proposal], defaultIkeProposals, Ike, { guess: id }), undefined, String(id))
    const beside = bare(Ike, [{ type: type.KeyExchange, id: id === 0 ? 7 : id }, ...good[Ike]!])
    assert.equal(choose([beside], defaultIkeProposals, Ike, { guess: id }), '1 aes256gcm16-prfsha256-x25519')
  }
})

/** Name, protocol, transforms: each unacceptable as a whole. */
const malformed: readonly (readonly [name: string, protocol: number, transforms: readonly Transform[]])[] = [
  ['no DH', Ike, without(Ike, type.KeyExchange)],
  ['DH none', Ike, [...without(Ike, type.KeyExchange), { type: type.KeyExchange, id: 0 }]],
  ['DH none beside one', Ike, [...good[Ike]!, { type: type.KeyExchange, id: 0 }]],
  ['no PRF', Ike, without(Ike, type.Prf)],
  ['no encryption', Ike, without(Ike, type.Encryption)],
  ['ESN in IKE', Ike, [...good[Ike]!, { type: type.Esn, id: 0 }]],
  ['AEAD and integrity', Ike, [...good[Ike]!, { type: type.Integrity, id: 12 }]],
  ['AEAD and CBC', Ike, [...good[Ike]!, { type: type.Encryption, id: 12, keyLength: 256 }]],
  ['CBC without integrity', Ike, [...without(Ike, type.Encryption), { type: type.Encryption, id: 12, keyLength: 256 }]],
  [
    'CBC with integrity none',
    Ike,
    [...without(Ike, type.Encryption), { type: type.Encryption, id: 12, keyLength: 256 }, { type: type.Integrity, id: 0 }],
  ],
  [
    'CBC with integrity none beside one',
    Ike,
    [
      ...without(Ike, type.Encryption),
      { type: type.Encryption, id: 12, keyLength: 256 },
      { type: type.Integrity, id: 12 },
      { type: type.Integrity, id: 0 },
    ],
  ],
  [
    'NULL encryption in IKE',
    Ike,
    [...without(Ike, type.Encryption), { type: type.Encryption, id: 11 }, { type: type.Integrity, id: 12 }],
  ],
  ['GMAC in IKE', Ike, [...without(Ike, type.Encryption), { type: type.Encryption, id: 21, keyLength: 256 }]],
  ['an unknown type', Ike, [...good[Ike]!, { type: 6, id: 35 }]],
  ['no ESN transform', Esp, without(Esp, type.Esn)],
  ['PRF in ESP', Esp, [...good[Esp]!, { type: type.Prf, id: 5 }]],
  ['NULL without integrity', Esp, [...without(Esp, type.Encryption), { type: type.Encryption, id: 11 }]],
  [
    'GMAC and integrity',
    Esp,
    [...without(Esp, type.Encryption), { type: type.Encryption, id: 21, keyLength: 256 }, { type: type.Integrity, id: 12 }],
  ],
  ['nothing at all', Esp, []],
]

test('A-17 no DH, none-integ, AEAD+integ and other proposals that cannot be meant are not chosen, and those beside them are', () => {
  const everything = {
    [Ike]: [...defaultIkeProposals],
    [Esp]: parseProposals(['default', 'aes256gmac-x25519-modpnone-esn-noesn', 'null-sha256-x25519-modpnone-esn-noesn'], Esp),
  }
  for (const [name, protocol, transforms] of malformed) {
    const allowed = everything[protocol as 1 | 3]
    const proposal = bare(protocol, transforms)
    assert.equal(choose([proposal], allowed, protocol), undefined, name)
    assert.match(defectOf(proposal, protocol) ?? '', /^it /, name)
    const beside = { ...bare(protocol, good[protocol]!), number: 2 }
    assert.equal(choose([proposal, beside], allowed, protocol)?.slice(0, 2), '2 ', name)
  }
})

test('A-17 zero, missing, odd and unasked key lengths are not chosen', () => {
  for (const keyLength of [undefined, 0, 1, 64, 127, 129, 192, 255, 257, 512, 65_535]) {
    for (const id of [Encryption.AesGcm16, Encryption.AesCbc]) {
      const cipher = { type: type.Encryption, id, ...(keyLength !== undefined && { keyLength }) }
      const integrity = id === Encryption.AesCbc ? [{ type: type.Integrity, id: 12 }] : []
      assert.equal(
        choose([bare(Ike, [cipher, ...integrity, ...without(Ike, type.Encryption)])], defaultIkeProposals, Ike),
        undefined,
      )
    }
  }
  for (const keyLength of [0, 128, 256]) {
    const cipher = { type: type.Encryption, id: Encryption.ChaCha20Poly1305, keyLength }
    assert.equal(choose([bare(Ike, [cipher, ...without(Ike, type.Encryption)])], defaultIkeProposals, Ike), undefined)
    const prf = { type: type.Prf, id: 5, keyLength }
    assert.equal(choose([bare(Ike, [prf, ...without(Ike, type.Prf)])], defaultIkeProposals, Ike), undefined)
  }
})

test('A-17 a transform with an unknown attribute is passed over, the others of its type are not', () => {
  const strange: Transform = { type: type.Encryption, id: Encryption.AesGcm16, keyLength: 256, unknownAttribute: true }
  assert.equal(choose([bare(Ike, [strange, ...without(Ike, type.Encryption)])], defaultIkeProposals, Ike), undefined)
  const beside: Transform = { type: type.Encryption, id: Encryption.AesGcm16, keyLength: 128 }
  assert.equal(
    choose([bare(Ike, [strange, beside, ...without(Ike, type.Encryption)])], defaultIkeProposals, Ike),
    '1 aes128gcm16-prfsha256-x25519',
  )
})

test('A-17 reserved SPIs and other protocols', () => {
  for (const spi of [0, 1, 255])
    assert.equal(choose([{ ...bare(Esp, good[Esp]!), spi: Uint8Array.of(0, 0, 0, spi) }], defaultEspProposals, Esp), undefined)
  assert.equal(choose([{ ...bare(Ike, good[Ike]!), spi: new Uint8Array(8) }], defaultIkeProposals, Ike), undefined)
  for (const protocol of [ProtocolId.Ah, ProtocolId.None, Ike, 4, 201])
    assert.equal(choose([{ ...bare(Esp, good[Esp]!), protocol }], defaultEspProposals, Esp), undefined)
})

test('A-17 hostile sizes cost little', () => {
  const many = Array.from({ length: 255 }, (_, i) => ({ type: type.Encryption, id: 20, keyLength: i }))
  const offered = Array.from({ length: 32 }, (_, i) => ({
    ...bare(Ike, [...many, ...without(Ike, type.Encryption)]),
    number: i + 1,
  }))
  const began = process.cpuUsage()
  for (let i = 0; i < 20; i++) assert.equal(choose(offered, defaultIkeProposals, Ike)?.slice(0, 2), '1 ')
  const { user } = process.cpuUsage(began)
  assert.ok(user / 20 < 50_000, `${user / 20} us a message of 65 kB`)
})

test('A-23 an offer that begins with the weakest does not get it', () => {
  const weakFirst = offers(Ike, 'aes128-sha256-modp2048', 'aes256gcm16-prfsha256-x25519')
  assert.equal(choose(weakFirst, defaultIkeProposals, Ike), '2 aes256gcm16-prfsha256-x25519')
  const refusedBeside = bare(Ike, [
    { type: type.Encryption, id: Encryption.TripleDes },
    { type: type.Encryption, id: Encryption.AesCbc, keyLength: 256 },
    { type: type.Integrity, id: 2 },
    { type: type.Integrity, id: 12 },
    { type: type.Prf, id: 2 },
    { type: type.Prf, id: 5 },
    { type: type.KeyExchange, id: 2 },
    { type: type.KeyExchange, id: 14 },
  ])
  assert.equal(choose([refusedBeside], defaultIkeProposals, Ike, { guess: 2 }), '1 aes256-sha256-modp2048')
})

test('A-23 an answer is one of our proposals, with nothing added and nothing left out', () => {
  const sent = offers(Ike, 'aes256gcm16-aes128gcm16-prfsha256-x25519-ecp256', 'aes256-sha256-modp2048')
  const answer = (number: number, text: string): Proposal => ({ ...parseProposal(text, Ike), number })
  const verdict = (...answers: Proposal[]): string => {
    const checked = checkAnswer(answers, sent)
    return 'wrong' in checked ? checked.wrong : 'fine'
  }
  assert.equal(verdict(answer(1, 'aes128gcm16-prfsha256-ecp256')), 'fine')
  assert.equal(verdict(answer(2, 'aes256-sha256-modp2048')), 'fine')
  assert.match(verdict(), /0 proposals/)
  assert.match(verdict(answer(1, 'aes128gcm16-prfsha256-ecp256'), answer(2, 'aes256-sha256-modp2048')), /2 proposals/)
  assert.match(verdict(answer(3, 'aes256-sha256-modp2048')), /not offered/)
  assert.match(verdict(answer(1, 'aes256-sha256-modp2048')), /not offered/)
  assert.match(verdict(answer(1, 'aes128gcm16-prfsha512-ecp256')), /not offered/)
  assert.match(verdict(answer(1, 'aes128gcm16-aes256gcm16-prfsha256-ecp256')), /2 algorithms of type 1/)
  assert.match(verdict({ ...answer(1, 'aes128gcm16-prfsha256-ecp256'), spi: new Uint8Array(8) }), /SPI/)
  const stripped = answer(1, 'aes128gcm16-prfsha256-ecp256')
  for (const one of stripped.transforms)
    assert.notEqual(verdict({ ...stripped, transforms: stripped.transforms.filter((other) => other !== one) }), 'fine')
  const esp = offers(Esp, 'aes256gcm16-x25519-modpnone-esn-noesn')
  const espAnswer = (text: string): boolean =>
    'chosen' in checkAnswer([{ ...parseProposal(text, Esp), spi: Uint8Array.of(9, 9, 9, 9) }], esp)
  assert.ok(espAnswer('aes256gcm16-x25519-esn') && espAnswer('aes256gcm16-esn') && !espAnswer('aes256gcm16-esn-noesn'))
})

/** The plain twin: every way to pick one transform a type out of an allowed proposal, in our order, is tried against every offer. */
function plainChoice(offered: readonly Proposal[], allowed: readonly Proposal[], protocol: number): string | undefined {
  for (const wanted of allowed) {
    for (const offer of offered) {
      if (defectOf(offer, protocol) !== undefined) continue
      const types = [...new Set([...wanted.transforms, ...offer.transforms].map((one) => one.type))]
      const picks = types.map((one) =>
        wanted.transforms.find(
          (ours) => ours.type === one && offer.transforms.some((theirs) => JSON.stringify(theirs) === JSON.stringify(ours)),
        ),
      )
      if (picks.every((pick) => pick !== undefined)) return `${offer.number} ${formatProposal({ ...offer, transforms: picks })}`
    }
  }
  return undefined
}

test('the choice is that of its plain twin, and lies in both lists', () => {
  const words = ['aes256gcm16', 'aes128gcm16', 'prfsha256', 'prfsha512', 'x25519', 'ecp256', 'modp2048'] as const
  const proposal = fc
    .tuple(
      fc.shuffledSubarray(words.slice(0, 2), { minLength: 1 }),
      fc.shuffledSubarray(words.slice(2, 4), { minLength: 1 }),
      fc.shuffledSubarray(words.slice(4), { minLength: 1 }),
    )
    .map((parts) => parseProposal(parts.flat().join('-'), Ike))
  const list = fc.array(proposal, { maxLength: 4 })
  fc.assert(
    fc.property(list, list, (offered, allowed) => {
      const offer = offerOf(offered, new Uint8Array())
      const chosen = choose(offer, allowed, Ike)
      assert.equal(chosen, plainChoice(offer, allowed, Ike))
      const selection = selectProposal(offer, allowed, Ike)
      if ('chosen' in selection) assert.ok('chosen' in checkAnswer([selection.chosen], offer))
    }),
    { numRuns: 500, seed: 17 },
  )
})

test('any offer at all is judged without a throw', () => {
  const transform = fc.record(
    { type: fc.nat(8), id: fc.nat(40), keyLength: fc.constantFrom(0, 128, 256, 192), unknownAttribute: fc.boolean() },
    { requiredKeys: ['type', 'id'], noNullPrototype: true },
  )
  const proposal = fc.record({
    number: fc.nat(255),
    protocol: fc.nat(4),
    spi: fc.uint8Array({ maxLength: 9 }),
    transforms: fc.array(transform, { maxLength: 12 }),
  })
  fc.assert(
    fc.property(fc.array(proposal, { maxLength: 5 }), fc.constantFrom(Ike, Esp), (offered, protocol) => {
      const allowed = protocol === Ike ? defaultIkeProposals : defaultEspProposals
      const selection = selectProposal(offered as Proposal[], allowed, protocol)
      if ('chosen' in selection) assert.equal(defectOf(selection.chosen, protocol), undefined)
      checkAnswer(offered as Proposal[], allowed)
    }),
    { numRuns: 1_000, seed: 18 },
  )
})
