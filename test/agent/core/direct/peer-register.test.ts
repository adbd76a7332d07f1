import assert from 'node:assert/strict'
import test from 'node:test'
import type { DirectEvent, DirectHost, DirectOptions } from '#agent/core/direct/direct-host.ts'
import type { DirectPeerPorts } from '#agent/core/direct/direct-peer.ts'
import { GrantWatch } from '#agent/core/direct/grant-watch.ts'
import { ownEndpoint } from '#agent/core/direct/own-endpoint.ts'
import { PeerRegister } from '#agent/core/direct/peer-register.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { type PeerStatement, type Statement, signStatement } from '#shared/fleet/statement.ts'
import { StatementLedger } from '#shared/fleet/statement-ledger.ts'
import { Netstack } from '#shared/netstack/netstack.ts'
import { instant, minutes, wallTime } from '#shared/time/instant.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { parseAddress } from '#shared/wire/ip-address.ts'
import { fleet, fleetKey, otherKey } from './direct-world.ts'

const wall = 1_790_000_000_000
const scope = { fleet, version: 5, notBefore: wallTime(wall - 1_000), notAfter: wallTime(wall + 3_600_000) }
const person = (n: number): PeerStatement & { tunnelKey: Uint8Array } => ({
  ...scope,
  kind: 'peer',
  id: `p${n}`,
  name: `person-${n}`,
  role: 'operator',
  tunnelKey: suite.x25519.generate().publicKey,
  addresses: [`fd00:adad::1:${n.toString(16)}`],
  tags: [],
  groups: ['staff'],
})

/** A device's register with a clock in hand. */
function place() {
  const clock = { ms: 1_000, now: () => instant(clock.ms), wall: () => wallTime(wall + clock.ms) }
  const events: DirectEvent[] = []
  const tunnelKey = suite.x25519.generate()
  const netstack = new Netstack({ suite, clock, addresses: ['fd00:adad::99'], transmit: () => {} })
  const cuts: string[] = []
  netstack.abortFrom = (address, isOpen) => void cuts.push(`${address} ${[22, 80].filter(isOpen).join()}`)
  const host = { suite, clock, tunnelKey, netstack, nextTimestamp: () => tai64n(BigInt(clock.ms)) } as unknown as DirectHost
  const ledger = new StatementLedger({ suite, fleet, time: () => clock.wall() }, [fleetKey.publicKey])
  const options: DirectOptions = {
    role: 'device',
    judge: (bytes) => ledger.judge(bytes),
    time: () => clock.wall(),
    places: () => [],
    event: (event) => events.push(event),
  }
  const endpoint = ownEndpoint(host, { transmits: () => true, tunnelEvent: () => {} })
  const register = new PeerRegister(options, host, endpoint, {} as DirectPeerPorts)
  return { clock, events, cuts, ledger, register, endpoint, own: tunnelKey.publicKey, watch: new GrantWatch(options, register) }
}

const packetFrom = (address: string): Uint8Array => {
  const packet = new Uint8Array(40)
  packet[0] = 0x60
  packet.set(parseAddress(address), 8)
  return packet
}

const sign = (statement: Statement, pair = fleetKey): Uint8Array => signStatement(statement, { suite, pair })

test('a peer is found by key, name, address, packet and association, and by none of them when it has gone', () => {
  const { register, clock, endpoint } = place()
  const ann = person(1)
  const record = register.add({ statement: ann, statements: [], ports: [] }, clock.now())!
  const { peer } = record
  const found = () => [
    register.get(ann.tunnelKey)?.peer,
    register.get(peer.association.peerKey)?.peer,
    register.named('person-1')?.peer,
    register.withAddress('fd00:adad::1:1'),
    register.at(packetFrom('fd00:adad::1:1'), 'source'),
    register.withAssociation(peer.association)?.peer,
  ]
  assert.ok(found().every((one) => one === peer))
  assert.equal(register.at(packetFrom('fd00:adad::1:2'), 'source'), undefined)
  assert.equal(register.at(new Uint8Array(39).fill(0x60), 'source'), undefined, 'too short for its addresses')
  assert.equal(
    register.add({ statement: { ...person(2), addresses: ['100.64.0.9'] }, statements: [], ports: [] }, clock.now()),
    undefined,
  )
  // The same end under newer statements stays the same peer; at other addresses it is another one, of the same association.
  assert.equal(register.add({ statement: ann, statements: [], ports: [] }, clock.now())?.peer, peer)
  const moved = register.add({ statement: { ...ann, addresses: ['fd00:adad::1:9'] }, statements: [], ports: [] }, clock.now())
  assert.ok(moved?.peer !== peer && moved?.peer.association === peer.association)
  register.remove(peer.association.peerKey, 'left')
  assert.ok(found().every((one) => one === undefined))
  assert.equal([...endpoint.associations()].length, 0)
})

test('of 65 operators the one that was silent for longest gives way, without a reset', () => {
  const { register, clock, events, cuts } = place()
  for (let i = 1; i <= 64; i++) {
    clock.ms += 10
    register.add({ statement: person(i), statements: [], ports: [] }, clock.now())
  }
  register.add({ statement: person(65), statements: [], ports: [] }, clock.now())
  assert.equal(register.size, 64)
  assert.deepEqual(events, [{ kind: 'closed', name: 'person-1', why: 'left' }])
  assert.deepEqual(cuts, [])
  assert.equal(register.deadline()?.why, 'forget silent operators')
  clock.ms += minutes(11)
  register.expire(clock.now())
  assert.equal(register.size, 64, 'nobody has been heard yet: their handshakes are under way')
})

test('what a grant closes is cut, what it leaves stays, and the last one ends the peer', () => {
  const { register, clock, cuts, ledger, own, watch, events } = place()
  const ann = person(1)
  const device: Statement = { ...person(99), id: 'dd', name: 'pi', role: 'device', tunnelKey: own, tags: ['lab'], groups: [] }
  const grant = (id: string, port: number, end: number = scope.notAfter): Statement => ({
    ...scope,
    notAfter: wallTime(end),
    kind: 'grant',
    id,
    operators: ['person-1'],
    groups: [],
    devices: ['pi'],
    tags: [],
    ports: [{ from: port, to: port }],
  })
  const soon = clock.wall() + 5_000
  const open = (port: number, notAfter: number) => ({ from: port, to: port, grant: String(port), notAfter: wallTime(notAfter) })
  const statements = [sign(ann), sign(device), sign(grant('22', 22)), sign(grant('80', 80, soon))]
  const record = register.add({ statement: ann, statements, ports: [open(22, scope.notAfter), open(80, soon)] }, clock.now())!
  assert.equal(watch.deadline(record, clock.now())?.at, clock.ms + 5_000)
  watch.expire(record)
  watch.recheck()
  assert.deepEqual(cuts, [])
  clock.ms += 5_000
  watch.expire(record)
  assert.deepEqual(cuts.splice(0), ['fd00:adad::1:1 22'])
  const withdrawal = { ...scope, kind: 'withdrawal', version: 9, of: 'grant', subject: '22' } as const
  assert.throws(() => ledger.take(sign(withdrawal, otherKey)))
  watch.recheck()
  assert.equal(register.size, 1, 'a stranger withdraws nothing')
  ledger.take(sign(withdrawal))
  watch.recheck()
  assert.deepEqual(cuts, ['fd00:adad::1:1 '])
  assert.deepEqual([register.size, events.at(-1)], [0, { kind: 'closed', name: 'person-1', why: 'withdrawn' }])
})
