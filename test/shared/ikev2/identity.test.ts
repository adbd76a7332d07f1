import assert from 'node:assert/strict'
import test from 'node:test'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { idsOfCertificate, matchesCertificate } from '#shared/ikev2/certificate-id.ts'
import { idKey, idText, parseId, sameId } from '#shared/ikev2/identity.ts'
import { nameText, parseNameText } from '#shared/ikev2/name-text.ts'
import { authorityKeyId, keyIdentifier, keyPurposes, keyUsage, subjectKeyId } from '#shared/pki/certificate-writer.ts'
import { Tag } from '#shared/pki/der.ts'
import { element, octetString, oid, sequence, setOf, utf8String } from '#shared/pki/der-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { extensions, purposes } from '#shared/pki/oids.ts'
import { IdType } from '#shared/wire/ike-numbers.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import fc from '#test/lab/properties.ts'
import { makeLeaf, makeRoot, type Wish } from '#test/shared/pki/built-chain.ts'

const latin = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))
const id = (type: number, data: string | Uint8Array): IkeId => ({ type, data: typeof data === 'string' ? latin(data) : data })
const { Fqdn, Rfc822, Ipv4, Ipv6, KeyId, DerAsn1Dn, DerAsn1Gn } = IdType

test("identities are read by swanctl.conf's rules, and written so that they are read again", () => {
  const pump = parseNameText('CN=pump, O=adit')!
  for (const [text, type, data, canonical = text] of [
    ['pump.example', Fqdn, latin('pump.example')],
    ['*.example', Fqdn, latin('*.example')],
    ['@pump.example', Fqdn, latin('pump.example'), 'pump.example'],
    ['fqdn:10.0.0.1', Fqdn, latin('10.0.0.1')],
    ['dns:pump 7', Fqdn, latin('pump 7'), 'fqdn:pump 7'],
    ['ada@example.net', Rfc822, latin('ada@example.net')],
    ['@@ada@example.net', Rfc822, latin('ada@example.net'), 'ada@example.net'],
    ['email:no-host', Rfc822, latin('no-host')],
    ['192.0.2.1', Ipv4, parseAddress('192.0.2.1')],
    ['ipv4:#c0000201', Ipv4, parseAddress('192.0.2.1'), '192.0.2.1'],
    ['2001:DB8::1', Ipv6, parseAddress('2001:db8::1'), '2001:db8::1'],
    ['keyid:pump-7', KeyId, latin('pump-7')],
    ['@#00ff:10', KeyId, fromHex('00ff10'), 'keyid:#00ff10'],
    ['CN=pump, O=adit', DerAsn1Dn, pump],
    ['cn = pump,o=adit', DerAsn1Dn, pump, 'CN=pump, O=adit'],
    ['/CN=pump/O=adit', DerAsn1Dn, pump, 'CN=pump, O=adit'],
    [`asn1dn:#${toHex(pump)}`, DerAsn1Dn, pump, 'CN=pump, O=adit'],
    ['{13}:#00', 13, fromHex('00')],
  ] as const) {
    assert.deepEqual(parseId(text), { type, data: Uint8Array.from(data) }, text)
    assert.equal(idText(parseId(text)), canonical)
    assert.ok(sameId(parseId(canonical), parseId(text)))
  }
  for (const text of [
    '',
    ' ',
    'pump example',
    'CM=pump',
    'CN=',
    'CN=a,,O=b',
    'ipv4:10.0.0.1',
    'keyid:#0',
    'keyid:',
    '{256}:x',
    'a@b@c',
    'ü.example',
    '10.0.0.1:4500',
  ])
    assert.throws(() => parseId(text), { code: 'config-invalid' }, text)
})

test('any identity at all has one printable line, which is read as the same', () => {
  const nasty = fc.constantFrom(
    'pump.example',
    '10.0.0.1',
    '::1',
    'a@b',
    'CN=x',
    '@x',
    '#00',
    ' x',
    'x ',
    'keyid:x',
    '\u0000',
    'a\nb',
    '\u001b[2J',
    '*',
  )
  const data = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 40 }), nasty.map(latin))
  fc.assert(
    fc.property(fc.constantFrom(0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 255), data, (type, bytes) => {
      const fixed = type === Ipv4 ? 4 : type === Ipv6 ? 16 : undefined
      const one = id(type, fixed === undefined ? bytes : Uint8Array.from({ length: fixed }, (_, i) => bytes[i % bytes.length]!))
      const text = idText(one)
      assert.match(text, /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u)
      assert.ok(sameId(parseId(text), one), text)
      assert.equal(idKey(parseId(text)), idKey(one))
    }),
    { numRuns: 2_000, seed: 35 },
  )
})

const attribute = (type: string, tag: number, text: string): Uint8Array =>
  setOf(sequence(oid(type), element(tag, Buffer.from(text))))
const CN = '2.5.4.3'
const O = '2.5.4.10'

test('names: string types and case make no difference, order and spelling do (RFC 5280 §7.1)', () => {
  const name = sequence(attribute(CN, Tag.PrintableString, 'Pump 7'), attribute(O, Tag.PrintableString, 'adit'))
  const utf8 = sequence(attribute(CN, Tag.Utf8String, 'pump  7 '), attribute(O, Tag.Utf8String, 'ADIT'))
  const turned = sequence(attribute(O, Tag.PrintableString, 'adit'), attribute(CN, Tag.PrintableString, 'Pump 7'))
  assert.ok(sameId(id(DerAsn1Dn, name), id(DerAsn1Dn, utf8)))
  assert.equal(idKey(id(DerAsn1Dn, name)), idKey(id(DerAsn1Dn, utf8)))
  assert.ok(!sameId(id(DerAsn1Dn, name), id(DerAsn1Dn, turned)))
  assert.ok(!sameId(id(DerAsn1Dn, name), id(DerAsn1Dn, commonName('Pump 7'))))
  assert.equal(nameText(name), 'CN=Pump 7, O=adit')
})

test("names have strongSwan's short names, and no text where it could be misread", () => {
  const text =
    'C=CH, ST=Zürich, L=Uster, O=adit & Söhne, OU=pumps, CN=pump/7, serialNumber=0042, G=Ada, SN=Lovelace, E=ada@example.net, UID=ada, DC=example'
  assert.equal(nameText(parseNameText(text)!), text)
  const ambiguous = [
    commonName('pump, O=adit'),
    sequence(setOf(sequence(oid(CN), utf8String('a')), sequence(oid(O), utf8String('b')))),
    sequence(attribute('2.5.4.97', Tag.Utf8String, 'VATDE-1')),
    sequence(attribute(CN, Tag.Utf8String, '\u202epmup')),
    sequence(setOf(sequence(oid(CN), octetString(latin('x'))))),
    sequence(),
    latin('nonsense'),
  ]
  for (const der of ambiguous) {
    assert.equal(nameText(der), undefined)
    assert.equal(idText(id(DerAsn1Dn, der)), `asn1dn:#${toHex(der)}`)
  }
})

test('FQDN and mail hosts in any case; Kelvin signs, local parts and key ids as they are', () => {
  assert.ok(sameId(parseId('Pump.Example'), parseId('pump.example')))
  assert.ok(sameId(parseId('ada@EXAMPLE.net'), parseId('ada@example.net')))
  assert.ok(!sameId(parseId('Ada@example.net'), parseId('ada@example.net')))
  assert.ok(!sameId(parseId('keyid:Pump'), parseId('keyid:pump')))
  assert.ok(!sameId(id(Fqdn, Buffer.from('\u212aelvin')), id(Fqdn, 'kelvin')))
  assert.ok(!sameId(id(Fqdn, 'pump.example\u0000.evil'), id(Fqdn, 'pump.example')))
  assert.ok(!sameId(id(Fqdn, 'a'), id(KeyId, 'a')))
})

const root = makeRoot()
const altNames = (...names: Uint8Array[]): Uint8Array => sequence(oid(extensions.subjectAltName), octetString(sequence(...names)))

function certificate(names: readonly Uint8Array[], wish: Wish = {}) {
  const pair = suite.ecdsaP256.generate()
  const spkiOf = makeLeaf(root, { pair }).spki
  return makeLeaf(root, {
    pair,
    extensions: [
      keyUsage(KeyUsage.digitalSignature),
      keyPurposes(purposes.clientAuth),
      ...(names.length === 0 ? [] : [altNames(...names)]),
      subjectKeyId(keyIdentifier(spkiOf, suite)),
      authorityKeyId(keyIdentifier(root.spki, suite)),
    ],
    subject: parseNameText('CN=pump.example, O=adit')!,
    ...wish,
  }).certificate
}

const dns = (text: string): Uint8Array => element(0x82, latin(text))
const email = (text: string): Uint8Array => element(0x81, latin(text))
const uri = (text: string): Uint8Array => element(0x86, latin(text))
const ip = (text: string): Uint8Array => element(0x87, parseAddress(text))

test('A-35 a certificate is for its subject and its alternative names, each of its own form', () => {
  const made = certificate([
    dns('Seven.Example'),
    email('ada@Example.net'),
    ip('192.0.2.7'),
    ip('2001:db8::7'),
    uri('urn:adit:device:pump'),
    element(0xa4, commonName('other')),
  ])
  const yes = [
    'CN=pump.example, O=adit',
    'cn=PUMP.EXAMPLE, o=ADIT',
    'seven.example',
    'ada@example.net',
    '192.0.2.7',
    '2001:db8::7',
    'CN=other',
  ]
  const no = [
    'pump.example',
    'CN=pump.example',
    'O=adit, CN=pump.example',
    'six.example',
    'Ada@example.net',
    '192.0.2.8',
    '2001:db8::8',
    'fqdn:192.0.2.7',
    'email:seven.example',
    'urn',
    'keyid:seven.example',
    '{13}:#00',
  ]
  for (const text of yes) assert.ok(matchesCertificate(parseId(text), made), text)
  for (const text of no) assert.ok(!matchesCertificate(parseId(text), made), text)
  assert.ok(matchesCertificate(id(DerAsn1Gn, uri('urn:adit:device:pump')), made))
  assert.ok(matchesCertificate(id(DerAsn1Gn, dns('seven.example')), made))
  assert.ok(!matchesCertificate(id(DerAsn1Gn, uri('urn:adit:device:pump7')), made))
  assert.ok(!matchesCertificate(id(DerAsn1Gn, Uint8Array.of(...uri('urn:adit:device:pump'), 0)), made), 'bytes after the name')
  assert.ok(matchesCertificate(id(KeyId, made.extensions.subjectKeyId!.id), made))
  assert.deepEqual(idsOfCertificate(made).map(idText), [
    'CN=pump.example, O=adit',
    'Seven.Example',
    'ada@Example.net',
    '192.0.2.7',
    '2001:db8::7',
  ])
})

test('A-35 a wildcard is no identity, an embedded NUL no end, an empty name nobody', () => {
  const wildcard = certificate([dns('*.example')])
  for (const text of ['pump.example', '*.example']) assert.ok(!matchesCertificate(parseId(text), wildcard), text)
  const plain = certificate([dns('pump.example')])
  for (const data of ['pump.example\u0000', 'pump.example\u0000.evil', 'pump.example ', 'pump.example.', ''])
    assert.ok(!matchesCertificate(id(Fqdn, data), plain))
  assert.ok(!matchesCertificate(id(DerAsn1Dn, sequence()), certificate([dns('x.example')])))
  assert.ok(!matchesCertificate(id(DerAsn1Dn, latin('nonsense')), plain))
  assert.ok(!matchesCertificate(id(KeyId, new Uint8Array()), plain))
})

test('any claim is judged without a throw', () => {
  const made = certificate([dns('seven.example')])
  fc.assert(
    fc.property(fc.nat(255), fc.uint8Array({ maxLength: 60 }), (type, data) => {
      assert.equal(matchesCertificate({ type, data }, made), false)
      sameId({ type, data }, { type, data: Uint8Array.of(...data, 1) })
      idKey({ type, data })
    }),
    { numRuns: 1_000, seed: 36 },
  )
})
