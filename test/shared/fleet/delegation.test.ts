import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isAditError } from '#shared/errors.ts'
import { signSign1 } from '#shared/fleet/cose-sign1.ts'
import { followKeys } from '#shared/fleet/fleet-pin.ts'
import { keyIdOf } from '#shared/fleet/key-fingerprint.ts'
import {
  type DelegationStatement,
  type GrantStatement,
  type PeerStatement,
  type Statement,
  signStatement,
} from '#shared/fleet/statement.ts'
import { StatementLedger } from '#shared/fleet/statement-ledger.ts'
import { VouchedTraits } from '#shared/fleet/vouched-traits.ts'
import { type CborTag, type CborValue, decodeCbor, encodeCanonicalCbor } from '#shared/telemetry/cbor.ts'
import { wallTime } from '#shared/time/instant.ts'

const pair = (seed: number) => suite.ed25519.pair(new Uint8Array(32).fill(seed))
const [admin, line1, line2, next] = [pair(7), pair(8), pair(9), pair(10)]
const fleet = suite.hash('sha256', Buffer.from('root'))
const start = 1_790_000_000_000
let now = start
const trust = { suite, fleet, time: () => wallTime(now) }
const scope = { fleet, version: 5, notBefore: wallTime(start - 1_000), notAfter: wallTime(start + 60_000) }
const keyOf = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)

const delegation: DelegationStatement = {
  ...scope,
  kind: 'delegation',
  id: 'a1',
  station: 'line-1',
  key: line1.publicKey,
  names: 'pump-{n}',
  first: 1,
  last: 500,
  tags: ['pumps', 'roof'],
}
const second: DelegationStatement = { ...delegation, id: 'b2', station: 'line-2', key: line2.publicKey, names: 'valve-{n}' }
const device: PeerStatement = {
  ...scope,
  kind: 'peer',
  id: 'dd',
  name: 'pump-7',
  role: 'device',
  tunnelKey: keyOf(3),
  addresses: ['fd00::7', '100.64.0.7'],
  tags: ['pumps'],
  groups: [],
}
const ann: PeerStatement = {
  ...device,
  id: 'aa',
  name: 'ann',
  role: 'operator',
  tunnelKey: keyOf(4),
  addresses: ['fd00::a'],
  tags: [],
}
const grant: GrantStatement = {
  ...scope,
  kind: 'grant',
  id: '1',
  operators: ['ann'],
  groups: [],
  devices: [],
  tags: ['pumps'],
  ports: [{ from: 22, to: 22 }],
}
const sign = (statement: Statement, by = admin) => signStatement(statement, { suite, pair: by })
const delegated = sign(delegation)
const vouched = (change: Partial<PeerStatement> = {}, by = line1) => sign({ ...device, ...change }, by)

function ledgerOf(...statements: readonly Uint8Array[]): StatementLedger {
  now = start
  const ledger = new StatementLedger(trust, [admin.publicKey])
  ledger.replace(statements)
  return ledger
}
const named = (ledger: StatementLedger, name = 'pump-7') => ledger.peerNamed('device', name)
const refusedOnly = (ledger: StatementLedger, why: RegExp): void => {
  assert.equal(ledger.refusals, 1)
  assert.match(ledger.lastRefusal ?? '', why)
}

test('D6 a station vouches for its device, whatever the order in the set, and grants of the fleet key open it', () => {
  const set = [delegated, vouched(), sign(ann), sign(grant)]
  for (const order of [set, [...set].reverse(), [set[1]!, set[3]!, set[0]!, set[2]!]]) {
    const ledger = ledgerOf(...order)
    assert.equal(ledger.refusals, 0)
    assert.equal(ledger.peer('dd')?.name, 'pump-7')
    assert.equal(ledger.peerAt('100.64.0.7')?.id, 'dd')
    assert.equal(ledger.peerWithKey(keyOf(3))?.id, 'dd')
    assert.equal(ledger.stationOf('dd')?.station, 'line-1')
    assert.equal(ledger.permits(ledger.peer('aa')!, ledger.peer('dd')!, 22)?.id, '1')
  }
})

test('D6 what a stolen station says beyond its delegation is refused, and costs the others nothing', () => {
  const beyond: [change: Partial<PeerStatement>, why: RegExp][] = [
    [{ role: 'operator' }, /may vouch for devices alone/],
    [{ groups: ['staff'] }, /may put nobody into a group/],
    [{ tags: ['pumps', 'vault'] }, /may not give the tag vault/],
    [{ name: 'pump-501' }, /may not vouch for the name pump-501/],
    [{ name: 'pump-0' }, /may not vouch for the name/],
    [{ name: 'pump-07' }, /may not vouch for the name/],
    [{ name: 'valve-7' }, /may not vouch for the name/],
    [{ tunnelKey: undefined }, /no device without a tunnel key/],
    [{ addresses: ['fd00::7', '100.64.0.7', '10.0.0.1'] }, /no more than 2 addresses/],
    [{ notAfter: wallTime(delegation.notAfter + 1) }, /outlives the delegation/],
  ]
  for (const [change, why] of beyond) {
    const ledger = ledgerOf(delegated, vouched({ id: 'ee', ...change }), vouched())
    refusedOnly(ledger, why)
    assert.equal(named(ledger)?.id, 'dd')
  }
})

test('D6 a station says nothing but peers: no grants, orders, host keys, keys, delegations or withdrawals', () => {
  const others: Statement[] = [
    grant,
    { ...scope, kind: 'host-keys', device: 'dd', service: 'ssh', keys: ['ssh-ed25519 AAAA'] },
    { ...scope, kind: 'wipe', id: 'w', device: 'pump-7', identity: keyOf(1), next: undefined },
    { ...scope, kind: 'withdrawal', of: 'grant', subject: '1', version: 9 },
    { ...second, version: 9 },
    { ...delegation, version: 9, last: 999 },
  ]
  for (const statement of others)
    refusedOnly(ledgerOf(delegated, sign(grant), sign(statement, line1)), /may vouch for devices alone/)
  const handOver = sign({ ...scope, kind: 'key', key: line1.publicKey }, line1)
  assert.deepEqual(followKeys(admin.publicKey, [delegated, handOver], wallTime(start), trust), admin.publicKey)
  refusedOnly(ledgerOf(delegated, handOver), /may vouch for devices alone/)
})

test('D6 without a delegation, or under one that is expired, withdrawn, foreign or forged, a station is nobody', () => {
  refusedOnly(ledgerOf(vouched()), /a key that does not count here/)
  refusedOnly(ledgerOf(delegated, vouched({}, line2)), /a key that does not count here/)
  refusedOnly(ledgerOf(sign(delegation, line1), delegated, vouched()), /may vouch for devices alone/)
  const foreign = { ...delegation, fleet: keyOf(1) }
  assert.equal(named(ledgerOf(sign(foreign), vouched())), undefined)
  refusedOnly(ledgerOf(delegated, vouched({ fleet: keyOf(1) })), /it is for another fleet/)
  assert.equal(named(ledgerOf(sign({ ...delegation, notAfter: wallTime(start) }), vouched())), undefined)
  assert.equal(named(ledgerOf(sign({ ...delegation, notBefore: wallTime(start + 1) }), vouched())), undefined)

  const ledger = ledgerOf(delegated, vouched())
  assert.equal(named(ledger)?.id, 'dd')
  now = delegation.notAfter
  assert.equal(named(ledger), undefined, 'it ends with the delegation')

  const withdrawal = sign({ ...scope, kind: 'withdrawal', of: 'delegation', subject: 'a1', version: 6 })
  const revoked = ledgerOf(delegated, vouched())
  revoked.take(withdrawal)
  assert.equal(named(revoked), undefined, 'a withdrawn delegation takes its statements with it')
  assert.throws(() => revoked.judge(vouched(), [delegated]), /older than one of delegation:a1/)
  revoked.replace([delegated, vouched()])
  assert.equal(named(revoked), undefined, 'played again it is as withdrawn as before')
  const again = new StatementLedger(trust, [admin.publicKey], revoked.record)
  again.replace([delegated, vouched()])
  assert.equal(named(again), undefined, 'also after a restart')
  again.replace([sign({ ...delegation, version: 7 }), vouched()])
  assert.equal(named(again)?.id, 'dd', 'until it is delegated anew')
})

test('D6 a narrower delegation takes what is outside of it with it; another key of the station takes all', () => {
  const ledger = ledgerOf(delegated, vouched({ tags: ['roof'] }))
  assert.equal(named(ledger)?.id, 'dd')
  ledger.take(sign({ ...delegation, version: 6, tags: ['pumps'] }))
  assert.equal(named(ledger), undefined)
  const rekeyed = ledgerOf(delegated, vouched())
  rekeyed.take(sign({ ...delegation, version: 6, key: next.publicKey }))
  assert.equal(named(rekeyed), undefined)
})

test('D6 no station takes over what the administrator has vouched for: subject, name, tunnel key or address', () => {
  const hers: PeerStatement = { ...device, id: 'ff', tunnelKey: keyOf(5), addresses: ['fd00::f'] }
  const grabs: Partial<PeerStatement>[] = [
    { id: 'ff', name: 'pump-8', version: 99 },
    { name: 'pump-7' },
    { name: 'pump-8', tunnelKey: keyOf(5) },
    { name: 'pump-8', addresses: ['fd00::9', 'fd00::f'] },
  ]
  for (const grab of grabs) {
    const forged = vouched(grab)
    for (const set of [
      [delegated, sign(hers), forged],
      [forged, sign(hers), delegated],
    ]) {
      const ledger = ledgerOf(...set)
      refusedOnly(ledger, /the administrator has spoken of/)
      assert.deepEqual([named(ledger)?.id, named(ledger, 'pump-8')], ['ff', undefined])
      // The thief leaves the administrator's statement out: that it was said is remembered, over a restart too.
      const restarted = new StatementLedger(trust, [admin.publicKey], ledger.record)
      restarted.replace([delegated, forged])
      assert.equal(restarted.peerWithKey(keyOf(3)) ?? restarted.peerWithKey(keyOf(5)), undefined)
      assert.throws(() => restarted.judge(forged, [delegated]), /the administrator has spoken of/)
    }
    // The station was first, and gives way as soon as the administrator speaks.
    const later = ledgerOf(delegated, forged)
    later.take(sign(hers))
    assert.deepEqual([named(later)?.id, named(later, 'pump-8')], ['ff', undefined])
  }
})

test('D6 no address of an operator becomes a device of a station', () => {
  const ledger = ledgerOf(delegated, sign(ann), sign(grant), vouched({ addresses: ['fd00::a'] }))
  refusedOnly(ledger, /the administrator has spoken of address:fd00::a/)
  assert.equal(ledger.peerAt('fd00::a')?.name, 'ann')
})

test("D6 what was withdrawn of a device is no station's to say again; its name and address may be another's", () => {
  const withdrawal = sign({ ...scope, kind: 'withdrawal', of: 'peer', subject: 'dd', version: 6 })
  const ledger = ledgerOf(delegated, vouched())
  ledger.take(withdrawal)
  assert.equal(named(ledger), undefined)
  const reborn = ledgerOf(delegated, sign(device))
  reborn.take(withdrawal)
  assert.throws(() => reborn.take(vouched({ version: 9 })), /the administrator has spoken of peer:dd/)
  assert.throws(() => reborn.take(vouched({ version: 9, id: 'ee' })), /the administrator has spoken of key:/, 'nor its old key')
  reborn.take(vouched({ version: 9, id: 'ee', tunnelKey: keyOf(9) }))
  assert.equal(named(reborn)?.id, 'ee')
})

test("D6 what one station has vouched for is no other's; of what two claim in one set neither is believed", () => {
  const [one, two] = [delegated, sign(second)]
  const theft = sign({ ...device, id: 'ee', name: 'valve-7', version: 99, tags: ['roof'], addresses: ['fd00::e'] }, line2)
  for (const set of [
    [one, two, vouched(), theft],
    [theft, vouched(), two, one],
  ]) {
    const ledger = ledgerOf(...set)
    assert.equal(ledger.peerWithKey(keyOf(3)), undefined, 'the tunnel key is of pump-7 or of valve-7')
    assert.equal(ledger.refusals, 2)
  }
  const ledger = ledgerOf(one, two, vouched())
  ledger.replace([one, two, theft])
  assert.equal(ledger.peerWithKey(keyOf(3)), undefined, 'the thief leaves the first one out')
  ledger.replace([one, two, theft, vouched()])
  assert.equal(ledger.peerWithKey(keyOf(3))?.name, 'pump-7', 'whose it was it is')
})

test('D6 of one station the newest word holds, and none is played back', () => {
  const [older, newer] = [vouched(), vouched({ version: 6, id: 'ee', tunnelKey: keyOf(6), addresses: ['fd00::8'] })]
  for (const set of [
    [delegated, older, newer],
    [newer, older, delegated],
  ])
    assert.equal(named(ledgerOf(...set))?.id, 'ee')
  const ledger = ledgerOf(delegated, older)
  ledger.take(newer)
  assert.equal(named(ledger)?.id, 'ee')
  const restarted = new StatementLedger(trust, [admin.publicKey], ledger.record)
  restarted.replace([delegated, older])
  assert.equal(named(restarted), undefined)
})

test("D6 a stolen station pushes nothing out of memory but its own words, and closes nothing of the administrator's", () => {
  const traits = new VouchedTraits()
  traits.sign({ ...device, id: 'ff' })
  traits.vouch('b2', { ...device, id: 'gg', name: 'valve-1', tunnelKey: keyOf(5), addresses: [] })
  for (let n = 0; n < 20_000; n++) traits.vouch('a1', { ...device, id: `x${n}`, name: `pump-${n}`, addresses: [], version: n })
  assert.match(traits.against('a1', { ...device, version: 1e9 }) ?? '', /the administrator has spoken of/)
  assert.match(traits.against('a1', { ...device, id: 'hh', name: 'pump-0', tunnelKey: keyOf(5) }) ?? '', /another station/)
  assert.ok(Object.keys(traits.record.stations.a1!).length <= 8_192)
  // It dates its word far ahead: what is closed then is its own.
  const ledger = ledgerOf(delegated, vouched({ version: 2 ** 52 }))
  ledger.replace([delegated])
  assert.throws(() => ledger.judge(vouched()), /seen before|closed/)
  assert.equal(ledger.judge(sign({ ...device, version: 6 })).kind, 'peer')
})

test('a shown statement counts with the delegation beside it; one that the broker has closed does not', () => {
  const ledger = ledgerOf()
  assert.throws(() => ledger.judge(vouched()), /does not count here/)
  assert.equal(ledger.judge(vouched(), [vouched(), delegated]).kind, 'peer')
  assert.throws(() => ledger.judge(vouched(), [sign(delegation, line1)]), /does not count here/)
  const hers = sign({ ...device, id: 'ff' })
  for (const beside of [
    [delegated, hers],
    [hers, delegated],
  ])
    assert.throws(() => ledgerOf().judge(vouched(), beside), /the administrator has spoken of name:device\/pump-7/)
  const held = ledgerOf(delegated, vouched())
  held.replace([delegated])
  assert.throws(() => held.judge(vouched()), /has been closed/)
  held.replace([])
  assert.throws(() => held.judge(vouched({ version: 9 }), [delegated]), /delegation:a1 has been closed/)
})

test('a hand-over of the fleet key keeps what it vouched for; a key that somebody pins begins anew', () => {
  const ledger = ledgerOf(delegated, sign({ ...device, id: 'ff' }))
  ledger.setKeys([next.publicKey], true)
  ledger.replace([sign({ ...delegation, version: 6 }, next), vouched()])
  assert.equal(named(ledger), undefined)
  ledger.setKeys([admin.publicKey])
  ledger.replace([sign({ ...delegation, version: 7 }), vouched()])
  assert.equal(named(ledger)?.id, 'dd')
})

test('a kind of statement that a program does not know is refused alone', () => {
  const body = decodeCbor(payloadOf(delegated), { depth: 4, items: 64, bytes: 4_096 }) as Map<CborValue, CborValue>
  const later = new Map([...body, ['kind', 'a-later-kind']] as [CborValue, CborValue][])
  const externalAad = new TextEncoder().encode('adit statement 1')
  const unknown = signSign1(encodeCanonicalCbor(later), {
    suite,
    pair: admin,
    keyId: keyIdOf(admin.publicKey, suite),
    externalAad,
  })
  const ledger = ledgerOf(unknown, sign(device), sign(ann), sign(grant))
  refusedOnly(ledger, /cannot be read/)
  assert.equal(named(ledger)?.id, 'dd')
  assert.throws(() => ledger.take(unknown), isAditError)
})

function payloadOf(statement: Uint8Array): Uint8Array {
  const message = decodeCbor(statement, { depth: 8, items: 64, bytes: 4_096, tags: true }) as CborTag
  return (message.content as Uint8Array[])[2]!
}
