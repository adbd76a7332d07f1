import assert from 'node:assert/strict'
import test from 'node:test'
import { isAditError } from '#shared/errors.ts'
import {
  defaultEspProposals,
  defaultIkeProposals,
  formatProposal,
  formatProposals,
  offerOf,
  parseProposal,
  parseProposals,
} from '#shared/ikev2/proposal.ts'
import { refusedTransforms } from '#shared/ikev2/refused-transforms.ts'
import { encryptions, esns, integrities, keyExchanges, prfs } from '#shared/ikev2/transform.ts'
import { Encryption, ProtocolId, TransformType } from '#shared/wire/ike-numbers.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'
import fc from '#test/lab/properties.ts'

const { Ike, Esp, Ah } = ProtocolId

/** Transforms in short: `1.12.256`. */
const numbers = (proposal: Proposal): string[] =>
  proposal.transforms
    .map(({ type, id, keyLength }) => [type, id, ...(keyLength === undefined ? [] : [keyLength])].join('.'))
    .sort()

/** Text, protocol, transforms, and the text that comes back where it is another. */
const read: readonly (readonly [text: string, protocol: number, transforms: string, canonical?: string])[] = [
  ['aes256-sha256-modp2048', Ike, '1.12.256 2.5 3.12 4.14'],
  ['aes128-sha384-prfsha384-modp2048', Ike, '1.12.128 2.6 3.13 4.14', 'aes128-sha384-modp2048'],
  ['aes256-sha512-prfsha256-modp3072', Ike, '1.12.256 2.5 3.14 4.15'],
  ['aes256gcm16-prfsha384-ecp384', Ike, '1.20.256 2.6 4.20'],
  ['aes256gcm128-sha384-ecp384', Ike, '1.20.256 2.6 4.20', 'aes256gcm16-prfsha384-ecp384'],
  ['chacha20poly1305-prfsha256-curve25519', Ike, '1.28 2.5 4.31', 'chacha20poly1305-prfsha256-x25519'],
  ['AES256-SHA2_256-ECP521', Ike, '1.12.256 2.5 3.12 4.21', 'aes256-sha256-ecp521'],
  ['aes256gcm16-x25519-esn', Esp, '1.20.256 4.31 5.1'],
  ['aes256gcm16-noesn', Esp, '1.20.256 5.0', 'aes256gcm16'],
  ['aes256gcm16-esn-noesn', Esp, '1.20.256 5.0 5.1'],
  ['aes256gcm16-sha256-modp2048', Esp, '1.20.256 4.14 5.0', 'aes256gcm16-modp2048'],
  ['aes-sha256', Esp, '1.12.128 3.12 5.0', 'aes128-sha256'],
  ['aes256gmac-ecp256-esn', Esp, '1.21.256 4.19 5.1'],
  ['null-sha256', Esp, '1.11 3.12 5.0'],
  ['aes256gcm16-x25519-modpnone', Esp, '1.20.256 4.0 4.31 5.0'],
]

test("proposals are read and written in strongSwan's spelling", () => {
  for (const [text, protocol, transforms, canonical = text] of read) {
    const proposal = parseProposal(text, protocol)
    assert.deepEqual(numbers(proposal), transforms.split(' '), text)
    assert.equal(formatProposal(proposal), canonical)
    assert.deepEqual(numbers(parseProposal(canonical, protocol)), numbers(proposal))
  }
})

test('every pair of our algorithms comes back from its text', () => {
  const some = <T>(all: readonly T[]) => fc.shuffledSubarray([...all], { minLength: 1 })
  const names = (all: readonly { readonly name: string }[]): string[] => all.map(({ name }) => name)
  const combined = encryptions.filter(({ mode }) => mode === 'aead')
  const blocks = encryptions.filter(({ mode }) => mode === 'cbc')
  const ike = fc
    .tuple(fc.boolean(), some(combined), some(blocks), some(integrities), some(prfs), some(keyExchanges))
    .map(([aead, a, b, i, p, k]) => names([...(aead ? a : [...b, ...i]), ...p, ...k]).join('-'))
  fc.assert(
    fc.property(ike, (text) => {
      const proposal = parseProposal(text, Ike)
      assert.deepEqual(numbers(parseProposal(formatProposal(proposal), Ike)), numbers(proposal))
      for (const type of Object.values(TransformType)) {
        const order = ({ transforms }: Proposal): unknown => transforms.filter((one) => one.type === type)
        assert.deepEqual(order(parseProposal(formatProposal(proposal), Ike)), order(proposal), 'in the same order of preference')
      }
    }),
    { numRuns: 200, seed: 31 },
  )
  const esp = fc
    .tuple(
      fc.boolean(),
      some(encryptions.filter(({ icvBytes }) => icvBytes > 0)),
      some(blocks),
      some(integrities),
      fc.subarray([...keyExchanges]),
      some(esns),
    )
    .map(([aead, a, b, i, k, e]) => names([...(aead ? a : [...b, ...i]), ...k, ...e]).join('-'))
  fc.assert(
    fc.property(esp, (text) =>
      assert.deepEqual(numbers(parseProposal(formatProposal(parseProposal(text, Esp)), Esp)), numbers(parseProposal(text, Esp))),
    ),
    { numRuns: 200, seed: 32 },
  )
})

/** Text, protocol, a part of the reason, a part of the mend. */
const refused: readonly (readonly [text: string, protocol: number, reason: RegExp, mend: RegExp])[] = [
  ['aes256-sha1-modp1024', Ike, /sha1 is refused: SHA-1 is broken; modp1024 is refused/, /"aes256-sha256-modp2048"/],
  ['3des-md5-modp1536', Ike, /3des is refused.*md5 is refused.*modp1536/, /"aes256-sha256-modp2048"/],
  ['aes256gcm8-prfsha1-modp2048s256', Ike, /aes256gcm8 is refused/, /"aes256gcm16-prfsha256-modp2048"/],
  ['aes192-sha256-ecp224', Ike, /aes192 is refused/, /"aes256-sha256-ecp256"/],
  ['aes128ccm12-prfsha256-x448', Ike, /x448/, /"aes128gcm16-prfsha256-x25519"/],
  ['aes256-modp2048', Ike, /without any integrity/, /aes256-sha256-modp2048/],
  ['aes256gcm16-modp2048', Ike, /no PRF/, /prfsha256/],
  ['aes256gcm16-prfsha256', Ike, /no key exchange/, /x25519/],
  ['aes256gcm16-prfsha256-modpnone', Ike, /modpnone/, /x25519/],
  ['aes256gcm16-aes256-sha256-modp2048', Ike, /two proposals/, /aes256/],
  ['null-sha256-modp2048', Ike, /unencrypted/, /aes256/],
  ['aes256gmac-prfsha256-modp2048', Ike, /unencrypted/, /aes256/],
  ['aes256gcm16-prfsha256-x25519-esn', Ike, /no place in it/, /aes256/],
  ['null', Esp, /without any integrity/, /aes256gcm16/],
  ['aes256', Esp, /without any integrity/, /aes256gcm16/],
  ['sha256', Esp, /no encryption/, /aes256gcm16/],
  ['aes256gcm16-prfsha256', Esp, /no place in it/, /aes256gcm16/],
  ['3des-sha1', Esp, /Sweet32/, /"aes256-sha256"/],
  ['aes256-sha256-modp2048 ; rm', Ike, /nobody here knows/, /aes256/],
  ['', Ike, /nobody here knows/, /aes256/],
  ['sha256-esn', Ah, /AH cannot cross a NAT/, /aes256gmac/],
]

test('what is refused says why, and what to write instead', () => {
  for (const [text, protocol, reason, mend] of refused) {
    assert.throws(
      () => parseProposal(text, protocol),
      (error) => {
        assert.ok(isAditError(error) && error.code === 'config-invalid', text)
        assert.match(error.message, reason)
        assert.match(error.mend, mend)
        return true
      },
      text,
    )
  }
})

test('what is broken is refused by its name and by its number', () => {
  for (const word of ['3des', 'md5', 'sha1', 'modp768', 'modp1024', 'modp1536', 'modp1024s160', 'modp2048s224', 'modp2048s256'])
    assert.throws(() => parseProposal(`aes256-sha256-modp2048-${word}`, Ike), /is refused/, word)
  const accepted = new Set([...defaultIkeProposals, ...defaultEspProposals].flatMap(numbers))
  for (const { type, id, keyLength } of refusedTransforms)
    assert.ok(!accepted.has([type, id, ...(keyLength === undefined ? [] : [keyLength])].join('.')))
})

test('the defaults: combined modes first, PFS, ESN preferred, nothing that hides nothing', () => {
  for (const proposal of [...defaultIkeProposals, ...defaultEspProposals]) {
    const ciphers = proposal.transforms.filter(({ type }) => type === TransformType.Encryption).map(({ id }) => id)
    assert.ok(!ciphers.some((id) => id === Encryption.Null || id === Encryption.NullAuthAesGmac))
    assert.ok(proposal.transforms.some(({ type, id }) => type === TransformType.KeyExchange && id !== 0))
    assert.ok(!proposal.transforms.some(({ type, id }) => type === TransformType.KeyExchange && id === 0))
  }
  assert.match(formatProposal(defaultIkeProposals[0]!), /^aes256gcm16-/)
  assert.match(formatProposal(defaultEspProposals[0]!), /^aes256gcm16-.*-x25519-.*-esn-noesn$/)
})

test('lists: commas, and default', () => {
  assert.equal(parseProposals(['aes256-sha256-modp2048, aes128-sha256-ecp256', 'aes256gcm16-prfsha256-x25519'], Ike).length, 3)
  const more = parseProposals(['default', 'aes256-sha384-modp2048'], Ike)
  assert.equal(more.length, defaultIkeProposals.length + 1)
  assert.deepEqual(formatProposals(more, Ike), ['default', 'aes256-sha384-modp2048'])
  assert.deepEqual(formatProposals(parseProposals(['aes256gmac'], Esp), Esp), ['aes256gmac'])
})

test('an offer is numbered and has our SPI; the one of IKE_AUTH has no key exchange', () => {
  const spi = Uint8Array.of(0x80, 1, 2, 3)
  const offer = offerOf(defaultEspProposals, spi, false)
  assert.deepEqual(
    offer.map(({ number }) => number),
    [1, 2],
  )
  for (const proposal of offer) {
    assert.equal(proposal.spi, spi)
    assert.ok(!proposal.transforms.some(({ type }) => type === TransformType.KeyExchange))
  }
  assert.ok(offerOf(defaultEspProposals, spi)[0]!.transforms.some(({ type }) => type === TransformType.KeyExchange))
})

test("a stranger's proposal has a text of bounded length, whatever is in it", () => {
  const transform = fc.record(
    { type: fc.nat(255), id: fc.nat(65_535), keyLength: fc.nat(65_535), unknownAttribute: fc.boolean() },
    { requiredKeys: ['type', 'id'], noNullPrototype: true },
  )
  fc.assert(
    fc.property(fc.array(transform, { maxLength: 255 }), fc.nat(255), (transforms, protocol) => {
      const text = formatProposal({ number: 1, protocol, spi: new Uint8Array(), transforms } as Proposal)
      assert.ok(text.length < 33 * 24 && !text.includes('undefined'))
    }),
    { numRuns: 200, seed: 33 },
  )
})
