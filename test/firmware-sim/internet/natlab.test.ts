/**
 * The scenarios of Tailscale's natlab (their names are the tests'), with our cores: both agents reach the broker, data flows between them,
 * and the way is direct exactly where the drawing says that it must be. Kinds as there: `easy` maps independently and filters by address
 * and port, `easyAF` filters by address, `hard` maps by the remote, `one2one` has a public address of its own.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seconds } from '#shared/time/instant.ts'
import { predict } from '#sim/internet/prediction.ts'
import { type BoxPlan, buildNetwork, type EndPlan, type NetworkPlan } from '#sim/internet/topology.ts'
import type { Dependence, NatBehaviour } from '#sim/nat-box.ts'
import { Meeting } from '#test/firmware-sim/internet/meeting.ts'

interface Kind {
  boxes: readonly Partial<BoxPlan>[]
  end?: Partial<EndPlan>
}

const nat = (mapping: Dependence, filtering: Dependence, change: Partial<NatBehaviour> = {}): NatBehaviour => ({
  mapping,
  filtering,
  mappingTimeout: seconds(120),
  inboundRefresh: true,
  hairpinning: false,
  portPreservation: false,
  ...change,
})

const independent: Dependence = 'endpoint-independent'
const byPort: Dependence = 'address-and-port-dependent'
const natOf = {
  easy: nat(independent, byPort),
  easyAF: nat(independent, 'address-dependent'),
  hard: nat(byPort, byPort),
  one2one: nat(independent, independent, { portPreservation: true }),
}
const kinds = {
  easy: { boxes: [{ nat: natOf.easy }] },
  easyAF: { boxes: [{ nat: natOf.easyAF }] },
  hard: { boxes: [{ nat: natOf.hard }] },
  one2one: { boxes: [{ nat: natOf.one2one }] },
  easyPMP: { boxes: [{ nat: natOf.easy }], end: { mapped: true } },
  hardPMP: { boxes: [{ nat: natOf.hard }], end: { mapped: true } },
  easyFirewall: { boxes: [{ nat: natOf.easy }], end: { firewall: byPort } },
  one2oneFirewall: { boxes: [{ nat: natOf.one2one }], end: { firewall: byPort } },
  hardMappedFirewall: { boxes: [{ nat: natOf.hard }], end: { mapped: true, firewall: byPort } },
  cgnat: { boxes: [{ nat: natOf.easy }, { nat: natOf.easy, lan: '100.64.3.' }] },
  cgnatPMP: { boxes: [{ nat: natOf.easy }, { nat: natOf.easy, lan: '100.64.3.' }], end: { mapped: true } },
  hardCgnat: { boxes: [{ nat: natOf.easy }, { nat: natOf.hard, lan: '100.64.3.' }] },
  /** An interface with an address of 100.64.0.0/10 itself, as behind a carrier's NAT without a router. */
  cgnatAddress: { boxes: [{ nat: natOf.easy, lan: '100.64.7.' }] },
  just6: { boxes: [{ ipv6: true }], end: { ipv4: false } },
  dual: { boxes: [{ nat: natOf.easy, ipv6: true }] },
  dualBroken4: { boxes: [{ nat: natOf.easy, ipv6: true, ipv4Works: false }] },
} satisfies Record<string, Kind>

type KindName = keyof typeof kinds

const box: BoxPlan = {
  above: undefined,
  lan: '192.168.1.',
  nat: undefined,
  pool: 1,
  ipv6: false,
  inbound: byPort,
  udp: 'open',
  ipv4Works: true,
  isolated: false,
  decoy: false,
  delayMs: 10,
}
const end: EndPlan = { box: undefined, ipv4: true, ipv6: true, firewall: undefined, mapped: false, delayMs: 2 }

/** Both of the same kind on one LAN, or each behind boxes of its own. */
function planOf(one: KindName, other: KindName | 'same LAN'): NetworkPlan {
  const boxes: BoxPlan[] = []
  const place = ({ boxes: chain, end: change }: Kind): EndPlan => {
    let above: number | undefined
    for (const part of [...chain].reverse()) above = boxes.push({ ...box, ...part, above }) - 1
    return { ...end, ...change, box: above }
  }
  const first = place(kinds[one])
  const second = other === 'same LAN' ? first : place(kinds[other])
  return { seed: 7, boxes, ends: [first, second], loss: 0, jitterMs: 0 }
}

function meetingOf(plan: NetworkPlan): Meeting {
  const network = buildNetwork(plan)
  const [{ host: ann, site: annSite }, { host: pi, site: piSite }] = network.ends
  const meeting = new Meeting({ broker: network.server, ann, pi })
  const ask = (agent: Meeting['pi'], site: typeof piSite, isMapped: boolean) => {
    const own = agent.places.find(({ endpoint }) => !endpoint.address.includes(':'))
    if (isMapped && own) agent.mapped = site?.router.ask(own.endpoint)
  }
  ask(meeting.ann, annSite, plan.ends[0].mapped)
  ask(meeting.pi, piSite, plan.ends[1].mapped)
  return meeting
}

async function judge(plan: NetworkPlan, expected?: 'direct' | 'relay'): Promise<Meeting> {
  const predicted = predict(plan)
  if (expected) assert.equal(predicted, expected)
  const meeting = meetingOf(plan)
  assert.ok(meeting.start(), 'both reach the broker')
  const ways = meeting.meet()
  const isDirect = ways.map((way) => way !== undefined && way !== 'relay')
  assert.deepEqual(isDirect, [predicted === 'direct', predicted === 'direct'], `${ways} where ${predicted} was predicted`)
  const { received, wrong } = await meeting.copy(60_000, 20_000)
  assert.deepEqual({ received, wrong }, { received: 60_000, wrong: 0 })
  return meeting
}

const named: readonly [name: string, one: KindName, other: KindName | 'same LAN', expected: 'direct' | 'relay'][] = [
  ['TestEasyEasy', 'easy', 'easy', 'direct'],
  ['TestEasy4AndJust6: no family in common', 'easy', 'just6', 'relay'],
  ['TestJustIPv6', 'just6', 'just6', 'direct'],
  ['TestSameLAN', 'easy', 'same LAN', 'direct'],
  ['TestOneHostFW', 'easy', 'easyFirewall', 'direct'],
  ['TestHostFWPair', 'easyFirewall', 'easyFirewall', 'direct'],
  ['TestHostFWNoBPF: a host firewall that no raw socket gets round', 'hard', 'one2oneFirewall', 'relay'],
  ['TestBPFDisco: hard, and a mapped port behind a host firewall', 'hard', 'hardMappedFirewall', 'relay'],
  ['TestNonTailscaleCGNATEndpoint', 'cgnatAddress', 'easy', 'direct'],
  ['TestSingleDualBrokenIPv4: the broker by IPv6, the other end too', 'dualBroken4', 'dual', 'direct'],
]

for (const [name, one, other, expected] of named)
  test(`${name} (F-12)`, async () => void (await judge(planOf(one, other), expected)))

const grid: readonly KindName[] = [
  'easy',
  'easyAF',
  'hard',
  'one2one',
  'easyPMP',
  'hardPMP',
  'cgnat',
  'cgnatPMP',
  'hardCgnat',
  'just6',
  'dual',
]

test('TestPair, TestGrid: every kind with every kind, and with its like on one LAN (F-12)', async (t) => {
  const table: string[] = []
  for (const one of grid) {
    const row = [...grid, 'same LAN' as const].map(async (other) => {
      const plan = planOf(one, other)
      await judge(plan).catch((error: Error) => assert.fail(`${one} and ${other}: ${error.message}`))
      return predict(plan) === 'direct' ? 'D' : 'r'
    })
    table.push(`${one.padEnd(10)} ${(await Promise.all(row)).join(' ')}`)
  }
  t.diagnostic(`\n${table.join('\n')}\n${' '.repeat(11)}${grid.join(' ')} same-LAN`)
})

test('TestSingleJustIPv6, TestSingleDualBrokenIPv4: one node comes up where only IPv6 works', () => {
  for (const kind of ['just6', 'dualBroken4'] as const) {
    const meeting = meetingOf(planOf(kind, 'dual'))
    assert.ok(meeting.start(), kind)
    assert.match(meeting.ann.core.path!.endpoint.address, /:/)
  }
})

test('TestTwoEasyNoControlDiscoRotate: two that have met go on, and meet anew after a move, while the broker is dead', async () => {
  const meeting = await judge(planOf('easy', 'easy'), 'direct')
  meeting.broker.isDead = true
  meeting.run(30_000)
  const { received } = await meeting.copy(60_000, 20_000)
  assert.equal(received, 60_000, 'the direct way needs no broker')
})

/**
 * TestFallbackDERPRegionForPeer does not apply: there are no regions of relays; the way through the hub is always at hand, which
 * every `relay` above shows.
 */
