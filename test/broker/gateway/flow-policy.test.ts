import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FlowJournal } from '#broker/gateway/flow-journal.ts'
import { GatewayPolicy } from '#broker/gateway/flow-policy.ts'
import type { Grant } from '#broker/policy/grant.ts'
import { Policy } from '#broker/policy/policy.ts'
import { Directory } from '#broker/registry/directory.ts'
import type { Principal, PrincipalKind } from '#broker/registry/principal.ts'
import type { FlowEnd } from '#shared/dataplane/flow.ts'
import { forever, refused } from '#shared/dataplane/flow-filter.ts'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { echo, ipPacket, tcp, udp } from '#test/shared/dataplane/packets.ts'

const wall = 1_000_000
const broker = '100.64.0.1'

interface Party extends Principal {
  readonly end: Association
}

let nextId = 1
const directory = new Directory()

function party(kind: PrincipalKind, name: string, address: string, more: Partial<Principal> = {}): Party {
  const id = nextId++
  const key = id.toString(16).padStart(64, '0')
  const principal = {
    id,
    publicId: key.slice(32),
    kind,
    name,
    tags: [],
    groups: [],
    admin: false,
    tunnelKey: key,
    identityKeys: [],
    addresses: [address],
    createdAt: 0,
    stock: false,
    subnets: [],
    ...more,
  } satisfies Principal
  directory.put(principal)
  return { ...principal, end: { peerKey: key } as Association }
}

const ann = party('operator', 'ann', '100.64.0.10')
const pi = party('device', 'pi', '100.64.0.20')
const here = party('device', 'here', '100.64.0.30', { subnets: ['192.168.1.0/24'] })
const there = party('device', 'there', '100.64.0.40', { subnets: ['192.168.2.0/24'] })
const late = party('device', 'late', '100.64.0.50', { expiresAt: wall + 60_000 })
const over = party('device', 'over', '100.64.0.60', { expiresAt: wall - 1 })

const grant = (id: number, more: Partial<Grant>): Grant => ({
  id,
  operators: [],
  groups: [],
  tags: [],
  devices: [],
  from: [],
  to: [],
  ports: [{ from: 443, to: 443 }],
  createdAt: 0,
  ...more,
})

function policyOf(...grants: Grant[]): GatewayPolicy {
  const policy = new Policy()
  policy.replace(grants)
  return new GatewayPolicy({
    registry: { directory, policy },
    clock: { now: () => instant(0), wall: () => wallTime(wall) },
    journal: {} as FlowJournal,
    mqttPort: 1883,
  })
}

const bodies = {
  tcp: { protocol: 6, body: (port: number) => tcp(5_000, port, 2) },
  udp: { protocol: 17, body: (port: number) => udp(5_000, port) },
  echo: { protocol: 1, body: () => echo(8, 1) },
}

function ask(
  policy: GatewayPolicy,
  kind: keyof typeof bodies,
  from: [FlowEnd, string],
  to: [FlowEnd, string],
  port = 443,
): number {
  const packet = new InnerPacket()
  const { protocol, body } = bodies[kind]
  const bytes = ipPacket({ from: from[1], to: to[1], protocol, body: body(port) })
  assert.equal(packet.read(bytes, bytes.length), 0)
  return policy.permit(packet, from[0], to[0], instant(0))
}

const self = ({ end, addresses }: Party): [FlowEnd, string] => [end, addresses[0]!]
const toBroker: [FlowEnd, string] = [undefined, broker]

test('without a grant: MQTT and echo to the broker, echo from it, and nothing else', () => {
  const policy = policyOf()
  for (const who of [ann, pi, here]) {
    assert.equal(ask(policy, 'echo', self(who), toBroker), forever, who.name)
    assert.equal(ask(policy, 'echo', toBroker, self(who)), forever)
    assert.equal(ask(policy, 'tcp', toBroker, self(who)), refused)
    assert.equal(ask(policy, 'tcp', self(who), toBroker, 22), refused)
    assert.equal(ask(policy, 'udp', self(who), toBroker, 1883), refused)
    assert.equal(ask(policy, 'tcp', self(who), toBroker, 1883), who.kind === 'device' ? forever : refused)
    for (const other of [ann, pi, there]) assert.equal(ask(policy, 'echo', self(who), self(other)), refused)
  }
  const host: [FlowEnd, string] = [here.end, '192.168.1.7']
  assert.equal(ask(policy, 'echo', host, toBroker), forever)
  assert.equal(ask(policy, 'tcp', host, toBroker, 1883), refused, 'a host behind a device is not the device')
  assert.equal(ask(policy, 'echo', host, [there.end, '192.168.2.7']), refused)
})

test('an operator: the device by one grant, the hosts behind it by another', () => {
  const device = policyOf(grant(1, { operators: ['ann'], devices: ['there'] }))
  const behind = policyOf(grant(1, { operators: ['ann'], to: ['there'] }))
  const host: [FlowEnd, string] = [there.end, '192.168.2.7']
  for (const kind of ['tcp', 'udp', 'echo'] as const) {
    assert.equal(ask(device, kind, self(ann), self(there)), forever)
    assert.equal(ask(device, kind, self(ann), host), refused)
    assert.equal(ask(behind, kind, self(ann), self(there)), refused)
    assert.equal(ask(behind, kind, self(ann), host), forever)
  }
  assert.equal(ask(behind, 'tcp', self(ann), host, 80), refused)
})

test('site to site: from the one with its hosts to the hosts of the other, not back, and never to a device itself', () => {
  const policy = policyOf(grant(1, { from: ['here'], to: ['there'] }))
  for (const from of [self(here), [here.end, '192.168.1.7'] as [FlowEnd, string]]) {
    assert.equal(ask(policy, 'tcp', from, [there.end, '192.168.2.7']), forever)
    assert.equal(ask(policy, 'echo', from, [there.end, '192.168.2.7']), forever)
    assert.equal(ask(policy, 'tcp', from, self(there)), refused)
  }
  assert.equal(ask(policy, 'tcp', [there.end, '192.168.2.7'], [here.end, '192.168.1.7']), refused)
  assert.equal(ask(policy, 'tcp', self(pi), [there.end, '192.168.2.7']), refused)
})

test('a permission ends with the grant, or with the one who began; who is over is refused', () => {
  const policy = policyOf(grant(1, { from: ['late', 'here', 'over'], to: ['there'], until: wall + 90_000 }))
  const host: [FlowEnd, string] = [there.end, '192.168.2.7']
  assert.equal(ask(policy, 'tcp', self(late), host), 60_000)
  assert.equal(ask(policy, 'tcp', self(here), host), 90_000)
  assert.equal(ask(policy, 'tcp', self(over), host), refused)
  assert.equal(ask(policy, 'echo', self(over), toBroker), refused)
})
