import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { LineAccount } from '#shared/enrolment/line-account.ts'
import {
  decodeEntry,
  encodeEntry,
  firstHead,
  isSealOf,
  type LedgerEntry,
  nextHead,
  sealHead,
} from '#shared/enrolment/station-ledger.ts'
import { SeededRandom } from '#sim/seeded-random.ts'
import { canStation } from '#test/agent/station/canned-station.ts'

const at = 1_790_000_000_123
const delegated: LedgerEntry = { kind: 'delegated', at, certificate: new Uint8Array(Buffer.from(canStation(5).own, 'base64')) }
const entries: readonly LedgerEntry[] = [
  { kind: 'begun', at, station: 'line-1' },
  delegated,
  { kind: 'opened', at, unit: 'cpu-1', name: 'pump-1', way: 'image' },
  { kind: 'opened', at, unit: 'cpu-2', name: 'pump-2', way: 'serial', replaces: 'cpu-1' },
  { kind: 'retried', at, unit: 'cpu-1', way: 'network' },
  { kind: 'issued', at, unit: 'cpu-1', certificate: Uint8Array.of(1, 2, 3), by: 'broker', instead: '0a' },
  { kind: 'delivered', at, unit: 'cpu-1', evidence: 'read back' },
  { kind: 'failed', at, unit: 'cpu-1', code: 'card-refused', message: 'It is full.', mend: 'Take another.' },
  { kind: 'scrapped', at, unit: 'cpu-1', reason: 'dead' },
  { kind: 'labelled', at, unit: 'cpu-1' },
]

test('every entry is read as it was written, and in no other form', () => {
  const random = new SeededRandom(3)
  for (const entry of entries) {
    const bytes = encodeEntry(entry)
    assert.deepEqual(decodeEntry(bytes), entry)
    for (let length = 0; length < bytes.length; length += 1)
      assert.throws(() => decodeEntry(bytes.subarray(0, length)), { code: 'ledger-damaged' }, `${entry.kind} cut at ${length}`)
    assert.throws(() => decodeEntry(Uint8Array.from([...bytes, 0])), { code: 'ledger-damaged' })
    for (let round = 0; round < 200; round += 1) {
      const changed = Uint8Array.from(bytes)
      const place = Math.floor(random.next() * bytes.length)
      changed[place] = changed[place]! ^ (1 << Math.floor(random.next() * 8))
      try {
        assert.deepEqual(encodeEntry(decodeEntry(changed)), changed)
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'ledger-damaged')
      }
    }
  }
  const foreign = { ...entries[0], more: 1 } as unknown as LedgerEntry
  assert.throws(() => decodeEntry(encodeEntry(foreign)), { code: 'ledger-damaged' })
})

test('a head covers every entry before it, and a seal one head of one station', () => {
  const identity = suite.ecdsaP256.generate()
  const first = firstHead(identity.publicKey, suite)
  const heads = [first]
  for (const entry of entries) heads.push(nextHead(heads.at(-1)!, encodeEntry(entry), suite))
  const head = heads.at(-1)!
  const seal = sealHead(head, identity, suite)
  assert.equal(isSealOf(head, seal, identity.publicKey, suite), true)
  assert.equal(isSealOf({ ...head, number: head.number - 1 }, seal, identity.publicKey, suite), false)
  assert.equal(isSealOf(heads.at(-2)!, seal, identity.publicKey, suite), false)
  assert.equal(isSealOf(head, seal, suite.ecdsaP256.generate().publicKey, suite), false)
  const swapped = [entries[1]!, entries[0]!, ...entries.slice(2)]
  let other = first
  for (const entry of swapped) other = nextHead(other, encodeEntry(entry), suite)
  assert.notDeepEqual(other.hash, head.hash)
})

test('no order of entries names a unit twice, gives a name to two, or goes on with what is over', () => {
  const begun = (): LineAccount => {
    const account = new LineAccount()
    account.add(entries[0]!)
    account.add(delegated)
    account.add({ kind: 'opened', at, unit: 'a', name: 'pump-1', way: 'image' })
    return account
  }
  const refused: Record<string, LedgerEntry[]> = {
    'begun twice': [entries[0]!],
    'one unit twice': [{ kind: 'opened', at, unit: 'a', name: 'pump-2', way: 'image' }],
    'one name twice': [{ kind: 'opened', at, unit: 'b', name: 'pump-1', way: 'image' }],
    'a name outside': [{ kind: 'opened', at, unit: 'b', name: 'pump-6', way: 'image' }],
    'another pattern': [{ kind: 'opened', at, unit: 'b', name: 'gauge-1', way: 'image' }],
    'a stranger': [{ kind: 'labelled', at, unit: 'b' }],
    'a certificate that is none': [{ kind: 'issued', at, unit: 'a', certificate: Uint8Array.of(1), by: 'station' }],
    'delivered without a certificate': [{ kind: 'delivered', at, unit: 'a', evidence: '' }],
    'after the scrapping': [
      { kind: 'scrapped', at, unit: 'a', reason: 'dead' },
      { kind: 'retried', at, unit: 'a', way: 'image' },
    ],
  }
  for (const [what, wrong] of Object.entries(refused)) {
    const account = begun()
    for (const entry of wrong.slice(0, -1)) account.add(entry)
    const before = { ...account.counts }
    assert.throws(() => account.add(wrong.at(-1)!), { code: 'ledger-damaged' }, what)
    assert.deepEqual(account.counts, before, what)
  }
})
