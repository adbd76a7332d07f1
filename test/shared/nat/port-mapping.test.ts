import assert from 'node:assert/strict'
import test from 'node:test'
import { PortMapping } from '#shared/nat/port-mapping.ts'
import { instant } from '#shared/time/instant.ts'
import { pcpResults } from '#shared/wire/pcp.ts'
import { seededSuite } from '../tunnel/virtual-link.ts'
import { FakeGateway, type GatewayManners, MappingWorld } from './fake-gateway.ts'

const client = '192.168.7.2'
const minute = 60_000
const hour = 60 * minute

function world(manners: Partial<GatewayManners> = {}, seed = 1): MappingWorld {
  const options = { suite: seededSuite(seed), gateway: FakeGateway.address, client, internalPort: 40_001 }
  return new MappingWorld(new FakeGateway(manners), new PortMapping(options, instant(0)))
}

test('PCP first: one question, one answer, renewed at half to five eighths of the lease for a day, given back at the end', () => {
  const { machine, gateway, sent, run, externals, tell, said } = bound(world())
  assert.deepEqual(externals(), ['203.0.113.2:40000'])
  assert.deepEqual(machine.report, {
    gateway: '192.168.7.1',
    external: { address: '203.0.113.2', port: 40_000 },
    protocol: 'PCP',
    refused: undefined,
  })
  run(24 * hour)
  assert.ok(sent.every(({ version }) => version === 2))
  const gaps = sent.slice(1).map(({ at }, i) => at - sent[i]!.at)
  assert.ok(gaps.every((gap) => gap >= hour && gap <= 1.25 * hour))
  assert.equal(externals().length, 1, 'what stays the same is said once')
  tell({ kind: 'stop' })
  assert.equal(gateway.mappings.size, 0)
  assert.deepEqual(externals(), ['203.0.113.2:40000', undefined])
  assert.equal(said.at(-1)?.output.kind, 'closed')
  assert.equal(machine.deadline(), undefined)
})

test('a gateway that knows NAT-PMP alone: told by its answer at once, or by its silence after 12 s', () => {
  const told = bound(world({ pcp: 'unsupported', natPmp: 'grants' }))
  assert.deepEqual(told.externals(), ['203.0.113.2:40000'])
  assert.equal(told.machine.report.protocol, 'NAT-PMP')
  const silent = bound(world({ pcp: 'silent', natPmp: 'grants' }))
  silent.run(11_999)
  assert.deepEqual(silent.externals(), [])
  silent.run(12_000)
  assert.deepEqual(silent.externals(), ['203.0.113.2:40000'])
  silent.run(24 * hour)
  assert.equal(silent.externals().length, 1)
  silent.tell({ kind: 'stop' })
  assert.equal(silent.gateway.mappings.size, 0)
  assert.equal(silent.machine.deadline(), undefined)
})

test('where nobody answers it is asked seldom: less than 20 kB a month with all headers', () => {
  const { sent, run, machine, externals } = bound(world({ pcp: 'silent' }))
  run(30 * 24 * hour)
  assert.deepEqual(externals(), [])
  const bytes = sent.reduce((sum, { datagram }) => sum + datagram.length + 28, 0)
  assert.ok(bytes < 20_000, `${bytes}`)
  assert.ok(sent.filter(({ at }) => at > 24 * hour).length > 40, 'but it is asked')
  assert.equal(machine.report.refused, 'silent')
})

test('each refusal keeps us quiet for as long as the gateway says, and is told', () => {
  for (const [result, name] of pcpResults.entries()) {
    if (result === 0) continue
    const { run, sent, machine } = bound(world({ pcp: result, natPmp: 'silent' }))
    const isForeign = name === 'UNSUPP_VERSION' || name === 'UNSUPP_OPCODE'
    run(599_000)
    if (!isForeign) assert.equal(sent.length, 1)
    assert.equal(
      sent.some(({ version }) => version === 0),
      isForeign,
      name,
    )
    assert.equal(machine.report.refused, isForeign ? 'silent' : name)
  }
  const { machine, run, sent } = bound(world({ pcp: 'unsupported', natPmp: 2 }))
  assert.equal(machine.report.refused, 'not authorized')
  run(29 * minute)
  assert.equal(sent.length, 3)
})

test('a lost answer to a renewal is asked for again; a gateway that stays dead costs the mapping at its end, not before', () => {
  const { run, gateway, externals, said, machine } = bound(world())
  run(30 * minute)
  gateway.manners.pcp = 'silent'
  run(110 * minute)
  assert.deepEqual(externals(), ['203.0.113.2:40000'])
  gateway.manners.pcp = 'grants'
  run(119 * minute)
  const until = machine.deadline()!.at
  assert.ok(until > 2 * hour, 'renewed')
  gateway.manners.pcp = 'silent'
  run(5 * hour)
  assert.deepEqual(externals(), ['203.0.113.2:40000', undefined])
  assert.ok(said.at(-1)!.at > 3.8 * hour)
  gateway.manners.pcp = 'grants'
  run(40 * hour)
  assert.deepEqual(externals(), ['203.0.113.2:40000', undefined, '203.0.113.2:40000'])
})

test('a gateway that restarts and says so gets the question again within 5 s; a changed address is told', () => {
  const { run, gateway, externals, hear, now } = bound(world())
  run(10 * minute)
  hear(gateway.announcement(now()))
  run(10 * minute + 6_000)
  assert.equal(gateway.mappings.size, 1)
  gateway.forget(now())
  gateway.manners.external = { address: '203.0.113.9', port: 40_000 }
  hear(gateway.announcement(now()), { address: '192.168.7.66', port: 5351 })
  run(now() + 6_000)
  assert.equal(gateway.mappings.size, 0, 'another host announces nothing')
  hear(gateway.announcement(now()))
  run(now() + 5_000)
  assert.equal(gateway.mappings.size, 1)
  assert.deepEqual(externals(), ['203.0.113.2:40000', '203.0.113.9:40000'])
})

test('a gateway that starts anew a moment after it gave the port is asked again, once for all its announcements', () => {
  const { run, gateway, sent, hear, now } = bound(world())
  run(400)
  gateway.forget(now())
  for (const wait of [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000]) {
    run(now() + wait)
    hear(gateway.announcement(now()))
  }
  assert.equal(gateway.mappings.size, 1)
  assert.ok(sent.length <= 4, `asked ${sent.length} times`)
})

test('a new socket of the tunnel: the old mapping is given back, the new one has a nonce of its own', () => {
  const { tell, gateway, externals, run } = bound(world())
  const before = gateway.mappings.get(40_001)
  tell({ kind: 'internal-port', port: 40_007 })
  run(1_000)
  assert.deepEqual([...gateway.mappings.keys()], [40_007])
  assert.notEqual(gateway.mappings.get(40_007), before)
  assert.deepEqual(externals(), ['203.0.113.2:40000', undefined, '203.0.113.2:40000'])
})

test('answers of others, to others, and any bytes move nothing; an address of zeros is none', () => {
  const { hear, externals, run, gateway, now, machine } = bound(world({ external: { address: '0.0.0.0', port: 40_000 } }))
  assert.equal(machine.report.refused, 'no external address')
  const good = bound(world({}, 2))
  const foreign = bound(world({ external: { address: '198.51.100.66', port: 6 } }, 3))
  const stolen = foreign.gateway.answer(foreign.sent[0]!.datagram, 0)!
  good.hear(stolen)
  assert.deepEqual(good.externals(), ['203.0.113.2:40000'])
  hear(gateway.announcement(now()).subarray(0, 23))
  hear(new Uint8Array(60).fill(2))
  run(1_000)
  assert.deepEqual(externals(), [])
})

test('a gateway that never says goodbye back does not hold us up: closed within 750 ms', () => {
  const { run, gateway, tell, said } = bound(world())
  gateway.manners.pcp = 'silent'
  tell({ kind: 'stop' })
  run(750)
  assert.deepEqual(said.at(-1), { at: 750, output: { kind: 'closed' } })
  const asking = bound(world({ pcp: 'silent' }))
  asking.tell({ kind: 'stop' })
  assert.deepEqual(asking.said, [{ at: 0, output: { kind: 'closed' } }])
  assert.equal(asking.sent.length, 2, 'the question, and that it is taken back')
})

/** The members of a world, to be taken apart. */
function bound(world: MappingWorld) {
  const { machine, gateway, sent, said } = world
  return {
    machine,
    gateway,
    sent,
    said,
    now: () => world.now,
    run: (until: number) => world.run(until),
    hear: (...args: Parameters<MappingWorld['hear']>) => world.hear(...args),
    tell: (...args: Parameters<MappingWorld['tell']>) => world.tell(...args),
    externals: () => world.externals(),
  }
}
