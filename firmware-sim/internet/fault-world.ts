import type { AgentFact, Facts, NatFact } from '#agent/doctor/facts.ts'
import type { ErrorCode } from '#shared/errors.ts'
import { type Nat64View, withNat64 } from '#shared/nat/nat64-prefix.ts'
import { type Duration, days, milliseconds, seconds, type WallTime, wallTime } from '#shared/time/instant.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import { formatCidr, parseCidr } from '#shared/wire/ip-address.ts'
import { answerBinding } from '#shared/wire/stun-answer.ts'
import { Dns } from '#sim/internet/dns.ts'
import { type DoorKeeper, keepDoor } from '#sim/internet/door.ts'
import { Examination, type ProxySetting } from '#sim/internet/examination.ts'
import type { Host } from '#sim/internet/host.ts'
import { Internet, type Site, wires } from '#sim/internet/internet.ts'
import { isIpv6 } from '#sim/internet/packet.ts'
import { Pipes } from '#sim/internet/pipes.ts'
import { keepProxy } from '#sim/internet/proxy.ts'
import { type NatBehaviour, natKinds } from '#sim/nat-box.ts'
import type { SeededRandom } from '#sim/seeded-random.ts'

export const brokerName = 'broker.example'
const tunnelPort = 4_500
const apiPort = 8_443
const streamPort = 443
const proxyPort = 3_128
/** What the name server of a network without IPv4 says of its NAT64. */
const discovered: Nat64View = { how: 'discovered', prefixes: [parseCidr('2001:db8:64::/96')] }

/** What a broker knows of a device: what `adit why` is told, beside the device's own facts. */
export interface BrokerFacts {
  readonly enrolled: boolean
  readonly revoked: boolean
  /** Of the device's certificate. */
  readonly notAfter: WallTime
  readonly state: 'up' | 'offline' | 'never'
  readonly evidenceAgeSeconds: number | undefined
  /** Whether the device answers a probe through its tunnel now. */
  readonly answers: boolean
  /** Handshakes that came and were refused, with what the broker makes of them. */
  readonly negotiation: { readonly code: string; readonly text: string } | undefined
  /** Datagrams that no association owns come from where the device was last: it speaks and does not hear. */
  readonly heardUnanswered: boolean
  readonly granted: boolean
  readonly hostKey: 'pinned' | 'changed' | 'missing'
}

/** The parts of a world that a fault bends and that no packet shows. */
export interface Circumstances {
  agentRuns: boolean
  /** The machine has power. */
  powered: boolean
  suite: 'noise' | 'esp'
  /** What the API says to the device's certificate. */
  admission: 'admitted' | ErrorCode
  certificate: { notBefore: WallTime; notAfter: WallTime }
  /** How far the device's wall clock is off. */
  clockError: Duration
  proposalsAgree: boolean
  sshd: 'open' | 'refused'
  hostKey: BrokerFacts['hostKey']
  granted: boolean
  brokerRuns: boolean
  serverCertificate: 'good' | 'expired'
  interfaceUp: boolean
  hasAddress: boolean
  freeBytes: number
  /** What is remembered of the broker's addresses. */
  known: readonly string[]
  proxy: ProxySetting | undefined
  everUp: boolean
}

/** A device, its network and its broker, healthy until a fault is put in; all from one seed. */
export class FaultWorld {
  readonly random: SeededRandom
  readonly internet: Internet
  readonly hub: Host
  readonly hubPipes: Pipes
  readonly site: Site
  readonly device: Host
  readonly dns: Dns
  readonly nat: NatBehaviour
  readonly proxyHost: Host
  readonly is: Circumstances
  readonly #pipes: Pipes
  #facts: Facts | undefined

  /** `nat64`: the device has IPv6 alone, the broker IPv4 alone. */
  constructor(seed: number, { bothFamilies = false, nat64 = false } = {}) {
    this.internet = new Internet(seed)
    const { world } = this.internet
    const { random } = world
    this.random = random
    const hasIpv6 = bothFamilies || (!nat64 && random.chance(0.5))
    const hubAddresses = ['198.51.100.2', ...(hasIpv6 ? ['2001:db8:2:1::2'] : [])]
    this.hub = this.internet.server('hub', [...hubAddresses, '198.51.100.3'], wires(2 + random.below(30)))
    this.hubPipes = new Pipes(this.hub)
    const cones = ['full-cone', 'restricted', 'port-restricted'] as const
    const lifetime = [30, 60, 120, 120, 180, 300][random.below(6)]!
    this.nat = { ...natKinds[cones[random.below(3)]!], mappingTimeout: seconds(lifetime) }
    const loss = random.chance(0.7) ? 0 : random.next() * 0.03
    this.site = this.internet.site({
      lan: ['192.168.1.', '192.168.178.', '10.0.0.', '172.20.10.'][random.below(4)]!,
      nat: this.nat,
      ipv6: bothFamilies || nat64 || random.chance(0.4),
      wires: wires(3 + random.below(100), { loss, mtu: random.chance(0.8) ? 1_500 : 1_492 }),
    })
    this.device = this.site.host('pi', { families: nat64 ? ['ipv6'] : ['ipv4', 'ipv6'] })
    if (nat64) this.site.router.rules.nat64 = { view: discovered, works: true }
    this.#pipes = new Pipes(this.device)
    this.proxyHost = this.site.host('proxy')
    this.dns = new Dns(world)
    this.dns.records.set(brokerName, hubAddresses)
    this.dns.delayMs = 5 + random.below(150)
    const now = world.wall()
    this.is = {
      agentRuns: true,
      powered: true,
      suite: random.chance(0.8) ? 'noise' : 'esp',
      admission: 'admitted',
      certificate: { notBefore: wallTime(now - days(20)), notAfter: wallTime(now + days(30 + random.below(50))) },
      clockError: milliseconds(random.below(4_000) - 2_000),
      proposalsAgree: true,
      sshd: 'open',
      hostKey: 'pinned',
      granted: true,
      brokerRuns: true,
      serverCertificate: 'good',
      interfaceUp: true,
      hasAddress: true,
      freeBytes: 2 ** 30,
      known: random.chance(0.85) ? hubAddresses : [],
      proxy: undefined,
      everUp: true,
    }
    this.#keepHub()
    if (random.chance(0.1)) this.useProxy()
    this.device.saysUnreachable = true
  }

  /** Puts a proxy into the device's network, and into its settings. */
  useProxy(password?: string, said?: string): void {
    keepProxy(new Pipes(this.proxyHost), proxyPort, { password })
    this.is.proxy = { at: this.proxyAt, password: said }
  }

  get proxyAt(): Endpoint {
    const ipv6 = this.device.addresses.every(isIpv6)
    return { address: this.proxyHost.addresses.find((address) => isIpv6(address) === ipv6)!, port: proxyPort }
  }

  /** Somebody else at the address that DNS names. */
  stranger(address: string, keeper: DoorKeeper | undefined): void {
    const host = this.internet.server('stranger', [address])
    if (keeper) for (const port of [80, streamPort, apiPort]) keepDoor(new Pipes(host), port, keeper)
  }

  /** What an examination on the device finds; undefined where the device cannot be asked. The first call makes it. */
  examine(): Facts | undefined {
    if (!this.is.powered) return undefined
    this.#facts ??= this.#examine()
    return this.#facts
  }

  /** What the broker knows; undefined where it does not run. */
  brokerFacts(): BrokerFacts | undefined {
    const { is } = this
    if (!is.brokerRuns) return undefined
    const facts = this.examine()
    const up = facts !== undefined && this.#isUp(facts)
    const spoke = facts?.udp?.some(({ sent, answered }) => sent > 0 && answered === 0) ?? false
    return {
      enrolled: is.admission !== 'not-enrolled',
      revoked: is.admission === 'revoked' || is.admission === 'device-revoked',
      notAfter: is.certificate.notAfter,
      state: up ? 'up' : is.everUp ? 'offline' : 'never',
      evidenceAgeSeconds: up ? this.random.below(50) : is.everUp ? 400 + this.random.below(9_000) : undefined,
      answers: up,
      negotiation: is.proposalsAgree ? undefined : refusal,
      heardUnanswered: spoke && !this.site.router.rules.udpIn && this.site.router.rules.udpOut === 'all',
      granted: is.granted,
      hostKey: is.hostKey,
    }
  }

  #examine(): Facts {
    const { is, dns } = this
    const { world } = this.internet
    if (!is.interfaceUp || !is.hasAddress) for (const at of [...this.device.attachments]) this.device.detach(at)
    const examination = new Examination(this.device, this.#pipes, dns)
    const name = examination.name(brokerName, is.known)
    const addresses = [...new Set([...name.addresses, ...is.known])].map((address) => this.#wayTo(address))
    const at = (port: number): Endpoint[] => addresses.map((address) => ({ address, port }))
    const api = at(apiPort).map((endpoint) => examination.door(brokerName, endpoint, { ask: 'get', path: '/v1/health' }))
    const udp = at(tunnelPort).map((endpoint) => examination.udp(endpoint))
    const direct = at(streamPort).map((endpoint) => examination.door(brokerName, endpoint, { ask: 'upgrade' }))
    const { proxy } = is
    const proxied = proxy
      ? at(streamPort).map((endpoint) => examination.door(brokerName, endpoint, { ask: 'upgrade' }, proxy))
      : []
    const first = at(streamPort)[0]
    const hasProven = api.find(({ tls }) => tls?.kind === 'proven')
    const facts: Facts = {
      clock: { wall: wallTime(world.wall() + is.clockError), floor: wallTime(is.certificate.notBefore) },
      interfaces: [{ name: 'eth0', up: is.interfaceUp, addresses: this.device.addresses }],
      routes: this.#routes(),
      names: [name],
      ...(this.#nat64 && { nat64: { how: this.#nat64.how, prefixes: this.#nat64.prefixes.map(formatCidr) } }),
      udp,
      api,
      streams: [...direct, ...proxied],
      plainHttp: at(80)
        .slice(0, 1)
        .map((endpoint) => examination.plainHttp(endpoint)),
      ...(proxy && first && { proxy: examination.proxy(proxy, first) }),
      certificate: is.certificate,
      ...(hasProven && { admission: admissionOf(examination.api(hasProven.endpoint, '/v1/agent/config')) }),
      ...(this.device.addresses.length > 0 && { nat: this.#nat(examination) }),
      services: [{ name: 'ssh', target: { address: '127.0.0.1', port: 22 }, reached: is.sshd }],
      disk: { path: '/var/lib/adit', freeBytes: is.freeBytes },
    }
    return { ...facts, agent: this.#agent(facts) }
  }

  #routes(): NonNullable<Facts['routes']> {
    const { addresses } = this.device
    const gateway = this.site.router.inside.addresses[0]!
    const ipv4 = addresses.some((address) => !isIpv6(address))
    return { ipv4, ipv6: addresses.some(isIpv6), ...(ipv4 && { gateway: { address: gateway, answers: true } }) }
  }

  get #nat64(): Nat64View | undefined {
    return this.site.router.rules.nat64?.view
  }

  #wayTo(address: string): string {
    return withNat64([address], this.#nat64)[0]!
  }

  #nat(examination: Examination): NatFact {
    const mapping = examination.mapping(
      ['198.51.100.2', '198.51.100.3'].map((address) => ({ address: this.#wayTo(address), port: tunnelPort })),
    )
    // What the learner has found (shared/nat): a little below the truth.
    const lifetimeSeconds = Math.floor((this.site.router.nat!.behaviour.mappingTimeout / 1_000) * 0.9)
    return { mapping, ...(mapping !== 'unknown' && mapping !== 'none' && { lifetimeSeconds, keepaliveSeconds: lifetimeSeconds }) }
  }

  #agent(facts: Facts): AgentFact {
    const { is } = this
    if (!is.agentRuns) return { kind: 'not-running' }
    const up = this.#isUp(facts)
    const open = facts.udp?.find(({ answered }) => answered > 0)
    const health = open?.sizes.some(({ bytes, answered }) => bytes >= 1_360 && answered) === false ? 'small-packets-only' : 'up'
    return {
      kind: 'running',
      tunnel: up ? 'up' : 'connecting',
      sinceSeconds: 60 + this.random.below(3_000),
      suite: is.suite,
      ...(up && { evidenceAgeSeconds: this.random.below(40), carrier: open ? 'udp' : 'websocket' }),
      ...(up && open && { endpoint: endpointText(open.endpoint), health }),
      ...(!is.proposalsAgree && { refusal }),
    }
  }

  /** A tunnel stands on any way that is open, where the broker admits the device and both agree. */
  #isUp(facts: Facts): boolean {
    const { is } = this
    if (!is.agentRuns || is.admission !== 'admitted' || !is.proposalsAgree || !is.brokerRuns) return false
    if (is.certificate.notAfter < this.internet.world.wall()) return false
    const udp = facts.udp?.some(({ answered }) => answered > 0) ?? false
    return udp || (facts.streams?.some(({ status }) => status === 101) ?? false)
  }

  #keepHub(): void {
    const { hub, is } = this
    const socket = hub.bind(tunnelPort)
    socket.onDatagram = (datagram, from, to) => {
      const answer = is.brokerRuns ? answerBinding(datagram, from) : undefined
      if (answer) socket.send(answer, from, to.address)
    }
    const chain = 'c'.repeat(3_000)
    const hello = () => ({
      answer: 'hello' as const,
      issuer: 'adit api',
      chain,
      ...(is.serverCertificate === 'expired' && { unusable: 'it has expired' }),
    })
    const get: DoorKeeper['get'] = (path) => {
      const date = this.internet.world.wall()
      if (path !== '/v1/agent/config') return { answer: 'status', status: 200, date }
      if (is.admission === 'admitted') return { answer: 'status', status: 200, date }
      return { answer: 'status', status: 403, code: is.admission, date }
    }
    keepDoor(this.hubPipes, apiPort, { hello, get })
    keepDoor(this.hubPipes, streamPort, { hello, upgrade: () => 101 })
  }

  /** The program ends; the machine stays, and refuses. */
  stopBroker(): void {
    this.is.brokerRuns = false
    for (const port of [apiPort, streamPort]) this.hubPipes.deafen(port)
    this.hub.saysUnreachable = true
    this.hub.releaseAll()
  }
}

const refusal = {
  code: 'no-proposal-chosen',
  text: 'the broker takes none of the proposals of this end',
  mend: 'Set the same algorithms at both ends.',
} as const

function admissionOf(said: { status: number; code?: string } | undefined): NonNullable<Facts['admission']> {
  if (said === undefined || said.status === 200 || said.code === undefined) return { kind: 'admitted' }
  return { kind: 'refused', code: said.code as ErrorCode, text: `it answers ${said.code}` }
}
