import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { decodeSign1 } from '#shared/fleet/cose-sign1.ts'
import { openStatement, STATEMENT_LIMIT, type Statement, signStatement } from '#shared/fleet/statement.ts'
import { decodeBody, encodeBody } from '#shared/fleet/statement-body.ts'
import { decodePart, encodeParts } from '#shared/fleet/statement-parts.ts'
import { CborError } from '#shared/telemetry/cbor.ts'
import { wallTime } from '#shared/time/instant.ts'
import { WireError } from '#shared/wire/wire-error.ts'
import { fuzz } from './fuzz.ts'

const pair = suite.ed25519.pair(new Uint8Array(32).fill(7))
const fleet = new Uint8Array(32).fill(1)
const scope = { fleet, version: 5, notBefore: wallTime(0), notAfter: wallTime(2 ** 41) }
const statements: Statement[] = [
  { ...scope, kind: 'host-keys', device: 'dd', service: 'ssh', keys: ['ssh-ed25519 AAAA'] },
  { ...scope, kind: 'grant', id: '1', operators: ['a'], groups: [], devices: [], tags: ['t'], ports: [{ from: 1, to: 9 }] },
  { ...scope, kind: 'withdrawal', of: 'peer', subject: 'aa' },
  { ...scope, kind: 'delegation', id: 'a', station: 's', key: fleet, names: 'p-{n}', first: 1, last: 9, tags: ['t'] },
]

/** A stranger's bytes end in a CborError or a refusal, whatever they are. */
function refusable<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof CborError || (isAditError(error) && error.code === 'statement-refused'))
      throw new WireError('malformed', error.message)
    throw error
  }
}

test('P-13 the payload of a statement: any bytes are refused, or mean what their only encoding means', () => {
  const taken = fuzz({
    name: 'statement payload',
    seeds: statements.map(encodeBody),
    run: (input) => {
      const statement = refusable(() => decodeBody(input))
      assert.deepEqual(encodeBody(statement), Uint8Array.from(input))
    },
  })
  assert.ok(taken > 0)
})

test('A-92 signed statements and sets of them: no bytes of a broker throw anything but a refusal', () => {
  const signed = statements.map((statement) => signStatement(statement, { suite, pair }))
  fuzz({
    name: 'signed statement',
    seeds: signed,
    share: 0.25,
    run: (input) => {
      refusable(() => decodeSign1(input, STATEMENT_LIMIT))
      refusable(() => openStatement(input, [pair.publicKey], wallTime(1), { suite, fleet }))
    },
  })
  const taken = fuzz({
    name: 'part of a set',
    seeds: [...encodeParts(new Uint8Array(16), signed)],
    share: 0.5,
    run: (input) => {
      const { part, parts } = refusable(() => decodePart(input))
      assert.ok(part < parts)
    },
  })
  assert.ok(taken > 0)
})
