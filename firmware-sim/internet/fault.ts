import { days, hours, milliseconds, seconds, wallTime } from '#shared/time/instant.ts'
import { keepDoor } from '#sim/internet/door.ts'
import { brokerName, FaultWorld } from '#sim/internet/fault-world.ts'
import { Pipes } from '#sim/internet/pipes.ts'
import { natKinds } from '#sim/nat-box.ts'

/** What can be wrong, in the words of this generator; which of them a diagnosis may call by one name is for its judge to say. */
export type FaultCause = keyof typeof faults | 'none'

export interface Fault {
  readonly seed: number
  readonly cause: FaultCause
  /** `examine()` gives the facts of the device, `brokerFacts()` those of the broker. */
  readonly world: FaultWorld
}

/** One fault in a healthy world of its own. Seeds that follow one another go through all causes in turn, unless one is asked for. */
export function makeFault(seed: number, cause: FaultCause = causes[seed % causes.length]!): Fault {
  const bothFamilies = cause === 'ipv4-broken' || cause === 'ipv6-broken'
  const world = new FaultWorld(seed, { bothFamilies, nat64: cause === 'nat64-dead' })
  if (cause !== 'none') faults[cause](world)
  return { seed, cause, world }
}

const rules = (world: FaultWorld) => world.site.router.rules
const lies = ['198.51.100.66', '198.51.100.67']

/** The network lets nothing out but what its proxy asks for. */
function shutIn(world: FaultWorld): void {
  Object.assign(rules(world), { udpOut: [], tcpOut: [], exempt: world.proxyHost.addresses })
}

const faults = {
  'udp-blocked': (world) => {
    rules(world).udpOut = world.random.chance(0.5) ? [] : [53, 123]
  },
  'udp-one-way': (world) => {
    rules(world).udpIn = false
  },
  'port-blocked': (world) => {
    rules(world).udpOut = [53, 123, 443, 500, 3_478]
  },
  'only-443': (world) => {
    Object.assign(rules(world), { udpOut: [], tcpOut: [443] })
  },
  'dns-dead': (world) => {
    world.dns.state = world.random.chance(0.7) ? 'silent' : 'failed'
  },
  'dns-not-found': (world) => {
    world.dns.records.delete(brokerName)
  },
  'dns-poisoned': (world) => {
    world.is.known = world.hub.addresses.filter((address) => address !== '198.51.100.3')
    const lie = lies[world.random.below(2)]!
    world.dns.records.set(brokerName, [lie])
    const hello = () => ({ answer: 'hello' as const, issuer: 'Acme Ads CA' })
    world.stranger(lie, world.random.chance(0.7) ? { hello, get: () => ({ answer: 'status', status: 200 }) } : undefined)
  },
  'clock-wrong': (world) => {
    const errors = [-world.internet.world.wall(), days(7_300), -hours(30), hours(3)]
    world.is.clockError = milliseconds(errors[world.random.below(4)]!)
  },
  'mtu-black-hole': (world) => {
    const { outside } = world.site.router
    const mtu = [576, 1_000, 1_200, 1_280][world.random.below(4)]!
    outside.up.quality = { ...outside.up.quality, mtu }
    outside.down.quality = { ...outside.down.quality, mtu }
  },
  'nat-lifetime-short': (world) => {
    const { nat } = world.site.router
    nat!.behaviour = { ...nat!.behaviour, mappingTimeout: seconds(8 + world.random.below(14)) }
  },
  'symmetric-nat': (world) => {
    const { nat } = world.site.router
    nat!.behaviour = { ...natKinds.symmetric, mappingTimeout: nat!.behaviour.mappingTimeout }
  },
  'packet-loss': (world) => {
    const { outside } = world.site.router
    const loss = 0.3 + world.random.next() * 0.2
    outside.up.quality = { ...outside.up.quality, loss }
    outside.down.quality = { ...outside.down.quality, loss }
  },
  'proxy-needed': (world) => {
    shutIn(world)
    world.is.proxy = undefined
    const page = world.site.host('edge')
    const portal = new Pipes(page)
    page.impersonates = true
    keepDoor(portal, undefined, { hello: () => 'cut', get: () => ({ answer: 'status', status: 403 }) })
    rules(world).portal = page.attachments[0]
  },
  'proxy-silent': (world) => {
    shutIn(world)
    world.is.proxy = { at: { ...world.proxyAt, port: 8_080 } }
    if (world.random.chance(0.5)) world.proxyHost.detach(world.proxyHost.attachments[0]!)
  },
  'proxy-auth': (world) => {
    shutIn(world)
    world.useProxy('ann:secret', world.random.chance(0.5) ? undefined : 'ann:wrong')
  },
  portal: (world) => {
    const page = world.site.host('portal')
    page.impersonates = true
    const [where] = page.addresses
    const get = () => ({ answer: 'status' as const, status: 302, location: where! })
    keepDoor(new Pipes(page), undefined, { hello: () => ({ answer: 'hello', issuer: 'Hotel Wi-Fi' }), get })
    Object.assign(rules(world), { udpOut: [], portal: page.attachments[0] })
  },
  'tls-inspected': (world) => {
    const box = world.site.host('inspector')
    box.impersonates = true
    const hello = () => ({ answer: 'hello' as const, issuer: 'Example Corp Web Gateway' })
    keepDoor(new Pipes(box), undefined, { hello, get: () => ({ answer: 'status', status: 200 }), upgrade: () => 101 })
    rules(world).portal = box.attachments[0]
  },
  'broker-stopped': (world) => world.stopBroker(),
  'broker-machine-down': (world) => {
    world.is.brokerRuns = false
    for (const at of [...world.hub.attachments]) world.hub.detach(at)
  },
  'uplink-dead': (world) => {
    Object.assign(rules(world), { ipv4: false, ipv6: false })
    world.dns.state = 'silent'
  },
  'ipv4-broken': (world) => {
    rules(world).ipv4 = false
  },
  'ipv6-broken': (world) => {
    rules(world).ipv6 = false
  },
  'nat64-dead': (world) => {
    rules(world).nat64 = { ...rules(world).nat64!, works: false }
  },
  'no-link': (world) => {
    world.is.interfaceUp = false
    world.dns.state = 'silent'
  },
  'no-address': (world) => {
    world.is.hasAddress = false
    world.dns.state = 'silent'
  },
  'certificate-expired': (world) => {
    const ago = world.random.chance(0.5) ? 5 + world.random.below(300) : 410 + world.random.below(300)
    const now = world.internet.world.wall()
    world.is.certificate = { notBefore: wallTime(now - days(ago + 90)), notAfter: wallTime(now - days(ago)) }
    world.is.admission = 'certificate-refused'
  },
  'server-certificate-expired': (world) => {
    world.is.serverCertificate = 'expired'
  },
  revoked: (world) => {
    world.is.admission = 'device-revoked'
  },
  'unknown-key': (world) => {
    world.is.admission = 'not-enrolled'
    world.is.everUp = false
  },
  'suites-disagree': (world) => {
    world.is.suite = 'esp'
    world.is.proposalsAgree = false
  },
  'device-off': (world) => {
    world.is.powered = false
  },
  'agent-stopped': (world) => {
    world.is.agentRuns = false
  },
  'sshd-down': (world) => {
    world.is.sshd = 'refused'
  },
  'host-key-changed': (world) => {
    world.is.hostKey = 'changed'
  },
  'no-grant': (world) => {
    world.is.granted = false
  },
  'disk-full': (world) => {
    world.is.freeBytes = world.random.below(900_000)
  },
} satisfies Record<string, (world: FaultWorld) => void>

const causes = Object.keys(faults) as (keyof typeof faults)[]
