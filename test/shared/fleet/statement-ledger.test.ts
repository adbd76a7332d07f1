import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { followKeys } from '#shared/fleet/fleet-pin.ts'
import { type GrantStatement, type PeerStatement, type Statement, signStatement } from '#shared/fleet/statement.ts'
import { StatementLedger } from '#shared/fleet/statement-ledger.ts'
import { statementWords } from '#shared/fleet/statement-words.ts'
import { wallTime } from '#shared/time/instant.ts'

const pair = suite.ed25519.pair(new Uint8Array(32).fill(7))
const other = suite.ed25519.pair(new Uint8Array(32).fill(8))
const third = suite.ed25519.pair(new Uint8Array(32).fill(9))
const fleet = suite.hash('sha256', Buffer.from('root'))
let now = 1_790_000_000_000
const scope = { fleet, version: 5, notBefore: wallTime(now - 1000), notAfter: wallTime(now + 60_000) }
const trust = { suite, fleet, time: () => wallTime(now) }

const device: PeerStatement = {
  ...scope,
  kind: 'peer',
  id: 'dd',
  name: 'pump',
  role: 'device',
  tunnelKey: new Uint8Array(32).fill(3),
  addresses: ['fd00::7'],
  tags: ['pumps'],
  groups: [],
}
const ada: PeerStatement = {
  ...device,
  id: 'aa',
  name: 'ada',
  role: 'operator',
  tunnelKey: new Uint8Array(32).fill(4),
  addresses: ['fd00::a', '100.64.0.9'],
  tags: [],
  groups: ['staff'],
}
const grant: GrantStatement = {
  ...scope,
  kind: 'grant',
  id: '1',
  operators: ['ada'],
  groups: [],
  devices: [],
  tags: ['pumps'],
  ports: [{ from: 22, to: 22 }],
}
const sign = (statement: Statement, by = pair) => signStatement(statement, { suite, pair: by })
const ledgerOf = (...statements: Statement[]) => {
  const ledger = new StatementLedger(trust, [pair.publicKey])
  ledger.replace(statements.map((statement) => sign(statement)))
  return ledger
}
const permitted = (ledger: StatementLedger, port = 22) => {
  const [from, to] = [ledger.peerAt('100.64.0.9'), ledger.peerWithKey(new Uint8Array(32).fill(3))]
  return from !== undefined && to !== undefined && ledger.permits(from, to, port) !== undefined
}

test('who may open what: the grant, the operator and the device must all be stated', () => {
  assert.equal(permitted(ledgerOf(device, ada, grant)), true)
  assert.equal(permitted(ledgerOf(device, ada, grant), 23), false)
  for (const missing of [device, ada, grant]) {
    const rest = [device, ada, grant].filter((statement) => statement !== missing)
    assert.equal(permitted(ledgerOf(...rest)), false, `without ${missing.kind} ${missing.id}`)
  }
  const byGroup: GrantStatement = { ...grant, operators: [], groups: ['staff'], tags: [], devices: ['pump'] }
  assert.equal(permitted(ledgerOf(device, ada, byGroup)), true)
  assert.equal(permitted(ledgerOf(device, ada, { ...byGroup, groups: ['guests'] })), false)
  assert.equal(permitted(ledgerOf(device, ada, { ...byGroup, devices: ['pump2'] })), false)
  assert.equal(permitted(ledgerOf(device, ada, { ...grant, ports: [] })), false)
})

test('A-70 a device is no operator: its address opens nothing, whatever the grant names', () => {
  const posing: PeerStatement = { ...ada, role: 'device' }
  assert.equal(permitted(ledgerOf(device, posing, grant)), false)
})

test('what is left out is closed; what was refused costs the others nothing', () => {
  const ledger = ledgerOf(device, ada, grant)
  ledger.replace([sign(device), sign(ada)])
  assert.equal(permitted(ledger), false)
  ledger.replace([sign(device), new Uint8Array(9), sign(ada), sign(grant, other), sign(grant)])
  assert.equal(permitted(ledger), true)
  assert.equal(ledger.refusals, 2)
  assert.match(ledger.lastRefusal ?? '', /does not count here/)
})

test('no rollback: an older version than one seen is refused, also after a restart, also after a withdrawal', () => {
  const wide: GrantStatement = { ...grant, ports: [{ from: 1, to: 65_535 }] }
  const ledger = ledgerOf(device, ada, wide)
  assert.equal(permitted(ledger, 80), true)
  ledger.take(sign({ ...grant, version: 6 }))
  assert.equal(permitted(ledger, 80), false)
  assert.throws(() => ledger.take(sign(wide)), /older than one of grant:1/)
  const restarted = new StatementLedger(trust, [pair.publicKey], ledger.record)
  assert.equal(permitted(restarted), true)
  restarted.replace([sign(device), sign(ada), sign(wide)])
  assert.equal(permitted(restarted), false, 'the older one is not taken, and the newer one is not named any more')
  restarted.take(sign({ ...scope, kind: 'withdrawal', of: 'grant', subject: '1', version: 7 }))
  for (const version of [5, 6]) assert.throws(() => restarted.take(sign({ ...grant, version })), /older/)
  restarted.take(sign({ ...grant, version: 8 }))
  assert.equal(permitted(restarted), true, 'a newer word of the same key opens again')
})

test('A-92 what a carrier has left out is closed to whoever shows it, until it is handed out again or signed anew', () => {
  const ledger = ledgerOf(device, ada, grant)
  assert.equal(ledger.judge(sign(grant)).kind, 'grant')
  ledger.replace([sign(device), sign(ada)])
  const restarted = new StatementLedger(trust, [pair.publicKey], ledger.record)
  for (const one of [ledger, restarted]) assert.throws(() => one.judge(sign(grant)), /grant:1 has been closed/)
  assert.equal(restarted.judge(sign({ ...grant, version: 6 })).version, 6)
  assert.equal(permitted(restarted), false, 'what is judged is not held')
  ledger.replace([sign(device), sign(ada), sign(grant)])
  assert.equal(ledger.judge(sign(grant)).kind, 'grant')
  assert.throws(() => ledger.judge(sign(grant, other)), /does not count/)
})

test('what is held expires by itself', () => {
  const ledger = ledgerOf(device, ada, { ...grant, notAfter: wallTime(now + 10) })
  assert.equal(permitted(ledger), true)
  now += 10
  assert.equal(permitted(ledger), false)
  now -= 10
})

test('under other keys everything is judged anew', () => {
  const ledger = ledgerOf(device, ada, grant)
  ledger.setKeys([other.publicKey])
  assert.equal(ledger.size, 0)
  const kept = ledgerOf(device, ada, grant)
  kept.setKeys([other.publicKey, pair.publicKey])
  assert.equal(permitted(kept), true)
})

test('each key counts its versions for itself, unless the one before has handed over to it', () => {
  const older = { ...device, version: scope.version - 1 }
  const pinned = ledgerOf(device)
  pinned.setKeys([other.publicKey])
  pinned.replace([sign(older, other)])
  assert.equal(pinned.peer('dd')?.version, older.version)
  const rotated = ledgerOf(device)
  rotated.setKeys([other.publicKey], true)
  rotated.replace([sign(older, other)])
  assert.equal(rotated.peer('dd'), undefined)
})

test('what a carrier left out under another key is not closed under this one', () => {
  const ledger = ledgerOf(device, ada, grant)
  ledger.replace([sign(device), sign(ada)])
  assert.throws(() => ledger.judge(sign(grant)), /has been closed/)
  ledger.setKeys([other.publicKey])
  assert.equal(ledger.judge(sign(grant, other)).kind, 'grant')
})

test('host keys are those of the device and the service', () => {
  const ledger = ledgerOf(device, { ...scope, kind: 'host-keys', device: 'dd', service: 'ssh', keys: ['ssh-ed25519 AAAA'] })
  assert.deepEqual(ledger.hostKeys('dd', 'ssh')?.keys, ['ssh-ed25519 AAAA'])
  assert.equal(ledger.hostKeys('dd', 'web'), undefined)
  assert.equal(ledger.hostKeys('aa', 'ssh'), undefined)
  assert.equal(ledger.peerNamed('device', 'pump')?.id, 'dd')
  assert.equal(ledger.peerNamed('operator', 'pump'), undefined)
})

test('a pin follows a chain of rotations in any order, and nothing that its own key has not signed', () => {
  const hand = (from: typeof pair, to: typeof pair) => sign({ ...scope, kind: 'key', key: to.publicKey }, from)
  const follow = (pinned: typeof pair, ...links: Uint8Array[]) => followKeys(pinned.publicKey, links, wallTime(now), trust)
  assert.deepEqual(follow(pair), pair.publicKey)
  assert.deepEqual(follow(pair, hand(pair, other)), other.publicKey)
  assert.deepEqual(follow(pair, hand(other, third), hand(pair, other)), third.publicKey)
  assert.deepEqual(follow(pair, hand(other, third)), pair.publicKey, 'a link is missing')
  assert.deepEqual(follow(third, hand(pair, other), hand(other, third)), third.publicKey, 'old links move nobody back')
  assert.deepEqual(follow(pair, hand(pair, other), hand(other, pair)), pair.publicKey, 'a circle ends')
  assert.deepEqual(follow(pair, sign(grant), new Uint8Array(3), hand(other, other)), pair.publicKey)
})

test('every statement has words that name all that it gives away', () => {
  const words = (statement: Statement) => statementWords(statement, suite)
  assert.equal(words(grant), 'Grant 1: operator ada may open port 22 of devices with the tag pumps.')
  assert.match(
    words(ada),
    /^The operator ada \(aa\) has the tunnel key 0404040404040404… and is at fd00::a, 100.64.0.9, with group staff/,
  )
  assert.match(
    words({ ...scope, kind: 'host-keys', device: 'dd', service: 'ssh', keys: ['ssh-ed25519 AAAA'] }),
    /ssh-ed25519 SHA256:/,
  )
  assert.match(words({ ...scope, kind: 'key', key: other.publicKey }), /fingerprint ([0-9a-f]{4} ?){8}/)
  assert.equal(words({ ...scope, kind: 'withdrawal', of: 'grant', subject: '1' }), 'What was said of grant 1 holds no more.')
})
