import assert from 'node:assert/strict'
import test from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { nobleSuite } from '#shared/crypto/noble.ts'
import { isAditError } from '#shared/errors.ts'
import { signSign1 } from '#shared/fleet/cose-sign1.ts'
import { keyFingerprint, keyIdOf, parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import {
  openStatement,
  STATEMENT_LIMIT,
  type Statement,
  type StatementScope,
  signStatement,
  subjectOf,
} from '#shared/fleet/statement.ts'
import { encodeBody } from '#shared/fleet/statement-body.ts'
import { CborTag, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { wallTime } from '#shared/time/instant.ts'

const suite = nativeSuite
const pair = suite.ed25519.pair(new Uint8Array(32).fill(7))
const other = suite.ed25519.pair(new Uint8Array(32).fill(8))
const fleet = suite.hash('sha256', Buffer.from('root'))
const now = wallTime(1_790_000_000_000)
const scope: StatementScope = { fleet, version: 5, notBefore: wallTime(now - 1000), notAfter: wallTime(now + 1000) }

const statements: readonly Statement[] = [
  {
    ...scope,
    kind: 'peer',
    id: '00112233445566778899aabbccddeeff',
    name: 'pump-7',
    role: 'device',
    tunnelKey: new Uint8Array(32).fill(3),
    addresses: ['fd00::7', '100.64.0.7'],
    tags: ['pumps'],
    groups: [],
  },
  { ...scope, kind: 'host-keys', device: '00112233445566778899aabbccddeeff', service: 'ssh', keys: ['ssh-ed25519 AAAA'] },
  {
    ...scope,
    kind: 'grant',
    id: '5',
    operators: ['ada'],
    groups: [],
    devices: [],
    tags: ['pumps'],
    ports: [
      { from: 22, to: 22 },
      { from: 8000, to: 8010 },
    ],
  },
  { ...scope, kind: 'key', key: other.publicKey },
  { ...scope, kind: 'withdrawal', of: 'grant', subject: '5' },
]

const open = (bytes: Uint8Array, at = now, keys = [pair.publicKey], of = fleet) =>
  openStatement(bytes, keys, at, { suite, fleet: of })

const refusedBecause = (pattern: RegExp) => (error: unknown) => {
  assert.ok(isAditError(error) && error.code === 'statement-refused', String(error))
  assert.match(error.message, pattern)
  return true
}

for (const statement of statements) {
  test(`a ${statement.kind} statement goes through its signature, the same with both providers`, () => {
    const signed = signStatement(statement, { suite, pair })
    assert.deepEqual(open(signed), statement.kind === 'peer' ? statement : { ...statement })
    assert.equal(toHex(signStatement(statement, { suite: nobleSuite, pair })), toHex(signed))
    assert.deepEqual(openStatement(signed, [other.publicKey, pair.publicKey], now, { suite: nobleSuite, fleet }), open(signed))
  })

  test(`A-79 a ${statement.kind} statement with any byte changed, or cut anywhere, is refused`, () => {
    const signed = signStatement(statement, { suite, pair })
    for (let at = 0; at < signed.length; at++) {
      const changed = Uint8Array.from(signed)
      changed[at]! ^= 1
      assert.throws(() => open(changed), refusedBecause(/./), `byte ${at}`)
      assert.throws(() => open(signed.subarray(0, at)), refusedBecause(/./), `cut at ${at}`)
    }
    assert.throws(() => open(Buffer.concat([signed, Buffer.of(0)])), refusedBecause(/after the item/))
  })
}

const [peer] = statements as [Statement]
const signed = signStatement(peer, { suite, pair })

test('it holds from notBefore until before notAfter, in its fleet, under its key', () => {
  assert.throws(() => open(signed, wallTime(scope.notBefore - 1)), refusedBecause(/only from/))
  assert.doesNotThrow(() => open(signed, scope.notBefore))
  assert.throws(() => open(signed, scope.notAfter), refusedBecause(/expired/))
  assert.throws(() => open(signed, now, [other.publicKey]), refusedBecause(/does not count here/))
  assert.throws(() => open(signed, now, []), refusedBecause(/does not count here/))
  assert.throws(() => open(signed, now, [pair.publicKey], new Uint8Array(32)), refusedBecause(/another fleet/))
})

test('A-36 the same key signing something else signs no statement: the aad differs, and so must the headers', () => {
  const payload = encodeBody(peer)
  const keyId = keyIdOf(pair.publicKey, suite)
  const foreign = signSign1(payload, { suite, pair, keyId, externalAad: new Uint8Array() })
  assert.throws(() => open(foreign), refusedBecause(/signature does not fit/))
  const message = decodeCbor(signed, { tags: true }) as CborTag
  const [header, , body, signature] = message.content as [Uint8Array, unknown, Uint8Array, Uint8Array]
  const again = (parts: never[]) => encodeCanonicalCbor(new CborTag(18, parts))
  assert.equal(toHex(again([header, new Map(), body, signature] as never[])), toHex(signed), 'so can be taken apart')
  const unprotected = again([header, new Map([[4, keyId]]), body, signature] as never[])
  assert.throws(() => open(unprotected), refusedBecause(/headers that this program does not know/))
  const untagged = encodeCanonicalCbor([header, new Map(), body, signature])
  assert.throws(() => open(untagged), refusedBecause(/no tagged COSE_Sign1/))
})

test('a payload with a field more, another order or a longer integer is refused although it is signed', () => {
  const keyId = keyIdOf(pair.publicKey, suite)
  const externalAad = new TextEncoder().encode('adit statement 1')
  const sign = (payload: Uint8Array) => signSign1(payload, { suite, pair, keyId, externalAad })
  const body = encodeBody(peer)
  assert.doesNotThrow(() => open(sign(body)), 'so is signed what must be taken')
  const map = decodeCbor(body) as Map<never, never>
  const more = encodeCanonicalCbor(new Map([...map, ['role2', 'operator']] as [never, never][]))
  assert.throws(() => open(sign(more)), refusedBecause(/does not know, or another order/))
  const v = Buffer.from(body).indexOf(Buffer.from('617601', 'hex'))
  const longer = Buffer.concat([body.subarray(0, v), Buffer.from('6176', 'hex'), Buffer.of(0x18, 1), body.subarray(v + 3)])
  assert.throws(() => open(sign(longer)), refusedBecause(/another order of bytes/))
  const newer = encodeCanonicalCbor(new Map([...map, ['v', 2]] as [never, never][]))
  assert.throws(() => open(sign(newer)), refusedBecause(/does not know/))
})

test('A-92 64 KiB of statement are neither made nor read; what cannot be shown to a person is not signed', () => {
  const keys = Array.from({ length: 256 }, () => `ssh-rsa ${'A'.repeat(250)}`)
  const large: Statement = { ...scope, kind: 'host-keys', device: 'd', service: 'ssh', keys }
  assert.ok(encodeBody(large).length >= 64 * 1024)
  assert.throws(() => signStatement(large, { suite, pair }), refusedBecause(/at most 16384/))
  assert.throws(() => open(new Uint8Array(64 * 1024)), refusedBecause(new RegExp(`at most ${STATEMENT_LIMIT}`)))
  for (const name of ['', 'pump\n7', '\u001b[31mred', 'pümp', 'x'.repeat(256)])
    assert.throws(() => signStatement({ ...peer, name } as Statement, { suite, pair }), refusedBecause(/printable/), name)
  for (const bad of [
    { version: -1 },
    { version: 1.5 },
    { notAfter: scope.notBefore },
    { fleet: new Uint8Array(31) },
    { tunnelKey: new Uint8Array(31) },
    { role: 'broker' },
    { tags: Array.from({ length: 257 }, () => 'a') },
  ])
    assert.throws(() => signStatement({ ...peer, ...bad } as never, { suite, pair }), refusedBecause(/./), JSON.stringify(bad))
  const ports = [{ from: 22, to: 21 }]
  assert.throws(() => signStatement({ ...statements[2], ports } as never, { suite, pair }), refusedBecause(/ranges of ports/))
})

test('statements about one thing share a subject, a withdrawal too', () => {
  assert.deepEqual(statements.map(subjectOf), [
    'peer:00112233445566778899aabbccddeeff',
    'host-keys:00112233445566778899aabbccddeeff/ssh',
    'grant:5',
    `key:${toHex(other.publicKey)}`,
    'grant:5',
  ])
})

test('a public key is copied as base64 and compared as eight groups', () => {
  const text = Buffer.from(pair.publicKey).toString('base64')
  assert.deepEqual(parseFleetKey(` ${text}\n`), pair.publicKey)
  for (const wrong of ['', text.slice(1), `${text}=`, text.replace(/=$/, ''), '5f1c'])
    assert.throws(() => parseFleetKey(wrong), { code: 'usage' }, wrong)
  assert.match(keyFingerprint(pair.publicKey, suite), /^([0-9a-f]{4} ){7}[0-9a-f]{4}$/)
})
