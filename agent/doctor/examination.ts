import { splitHostPort } from '#agent/core/agent-config.ts'
import type { Service } from '#agent/core/service.ts'
import { type Nat64View, withNat64 } from '#shared/nat/nat64-prefix.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import { formatCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import type { DoorFact, Facts, NameFact, PlainHttpFact, ProxyFact, Reached, RouteFacts, UdpFact } from './facts.ts'

/** What is examined: where the broker should be, by what the state folder or the command line says. */
export interface Subject {
  /** `https://HOST:PORT`. */
  readonly api: readonly string[]
  /** `HOST:PORT` of UDP. */
  readonly endpoints: readonly string[]
  /** `wss://HOST:PORT/PATH`. */
  readonly streams: readonly string[]
  /** `HOST:PORT` of the broker's other STUN servers. */
  readonly stun: readonly string[]
  /** What is remembered of a host's addresses. */
  known(host: string): readonly string[]
  readonly services: readonly Pick<Service, 'name' | 'target'>[]
}

/** An HTTPS server at one address. */
export interface Door {
  readonly kind: 'api' | 'stream'
  readonly url: string
  readonly host: string
  readonly endpoint: Endpoint
}

/** The examination's hands. Each ends by itself within seconds; one that rejects leaves its fact out. */
export interface Probes {
  resolve(host: string): Promise<Pick<NameFact, 'outcome' | 'tookMs' | 'addresses'>>
  /** How the first of these is reached that is of IPv4; undefined: by IPv4, or nobody knows. */
  nat64?(addresses: readonly string[]): Promise<Nat64View | undefined>
  udp(endpoint: Endpoint): Promise<UdpFact>
  door(door: Door): Promise<DoorFact>
  plainHttp(host: string, endpoint: Endpoint): Promise<PlainHttpFact>
  /** The proxy's word on a way to `target`, `HOST:PORT`; undefined where none is set. */
  proxy(target: string): Promise<ProxyFact | undefined>
  service(target: Endpoint): Promise<Reached>
  interfaces(): Promise<Facts['interfaces']>
  /** Asked after the others, since a next hop shows itself only when something was sent. */
  routes(towards: readonly string[]): Promise<RouteFacts | undefined>
  clock(): Promise<Facts['clock']>
  certificate(): Promise<Facts['certificate']>
  admission(): Promise<Facts['admission']>
  agent(): Promise<Facts['agent']>
  /** `servers`: that speak STUN, the tunnel's own port first. */
  nat(servers: readonly Endpoint[]): Promise<Facts['nat']>
  disk(): Promise<Facts['disk']>
}

/** Addresses of one host that are asked. */
const mostAddresses = 4

/** Asks everything, all at once where one answer does not need another. */
export async function examine(subject: Subject, probes: Probes): Promise<Facts> {
  const near = all({
    interfaces: probes.interfaces(),
    clock: probes.clock(),
    certificate: probes.certificate(),
    agent: probes.agent(),
    disk: probes.disk(),
    services: Promise.all(
      subject.services.map(async ({ name, target }) => ({ name, target, reached: await probes.service(target) })),
    ),
  })
  const said = await namesOf(subject, probes)
  const nat64 = await nat64Of(subject, said, probes)
  const names = said.map((name) => ({
    ...name,
    addresses: reachable(name.addresses, nat64),
    known: reachable(name.known, nat64),
  }))
  const addresses = new Map(
    names.map(({ host, addresses: own, known }) => [host, [...new Set([...known, ...own])].slice(0, mostAddresses)]),
  )
  const places = (host: string): readonly string[] => (isLiteral(host) ? reachable([host], nat64) : (addresses.get(host) ?? []))
  const doors = doorsOf(subject, places)
  const apiDoors = doors.filter(({ kind }) => kind === 'api')
  const far = await all({
    udp: each(endpointsOf(subject.endpoints, places), (endpoint) => probes.udp(endpoint)),
    nat: probes.nat(endpointsOf([...subject.endpoints, ...subject.stun], places)),
    api: each(apiDoors, (door) => probes.door(door)),
    streams: each(
      doors.filter(({ kind }) => kind === 'stream'),
      (door) => probes.door(door),
    ),
    plainHttp: each(webPlaces(apiDoors), ({ host, address }) => probes.plainHttp(host, { address, port: 80 })),
    proxy: proxyTarget(doors) === undefined ? Promise.resolve(undefined) : probes.proxy(proxyTarget(doors)!),
    admission: probes.admission(),
  })
  const towards = [...new Set([...(far.udp ?? []), ...(far.api ?? [])].map(({ endpoint }) => endpoint.address))]
  const routes = await probes.routes(towards).catch(() => undefined)
  const translated = nat64 && { how: nat64.how, prefixes: nat64.prefixes.map(formatCidr) }
  return { ...(await near), ...far, names, ...(translated && { nat64: translated }), ...(routes && { routes }) }
}

/** Asked with every address that is known of the broker. */
function nat64Of(subject: Subject, names: readonly NameFact[], probes: Probes): Promise<Nat64View | undefined> {
  const texts = subject.endpoints.flatMap((text) => splitHostPort(text)?.address ?? [])
  const literals = [...texts, ...[...subject.api, ...subject.streams].map(hostOf)].filter(isLiteral)
  const all = [...literals, ...names.flatMap(({ known, addresses }) => [...known, ...addresses])]
  return probes.nat64?.(all).catch(() => undefined) ?? Promise.resolve(undefined)
}

/** In place of IPv4 addresses what a NAT64 gives: here there is no other way to them. */
function reachable(addresses: readonly string[], nat64: Nat64View | undefined): readonly string[] {
  const ways = addresses.flatMap((address) => {
    const made = withNat64([address], nat64).filter((way) => way !== address)
    return made.length > 0 ? made : [address]
  })
  return [...new Set(ways)]
}

/** DNS is asked for every name of the broker, once each. */
async function namesOf(subject: Subject, probes: Probes): Promise<NameFact[]> {
  const texts = subject.endpoints.map((text) => splitHostPort(text)?.address)
  const urls = [...subject.api, ...subject.streams].map(hostOf)
  const hosts = [...new Set([...texts, ...urls])].filter((host) => host !== undefined && !isLiteral(host)) as string[]
  const found = await each(hosts, async (host) => ({ host, ...(await probes.resolve(host)), known: subject.known(host) }))
  const asked = new Set(found.map(({ host }) => host))
  // A question that could not even be put leaves the memory.
  const rest = hosts.filter((host) => !asked.has(host) && subject.known(host).length > 0)
  return [
    ...found,
    ...rest.map((host) => ({ host, outcome: 'failed' as const, tookMs: 0, addresses: [], known: subject.known(host) })),
  ]
}

function endpointsOf(texts: readonly string[], places: (host: string) => readonly string[]): Endpoint[] {
  const all = texts.flatMap((text) => {
    const split = splitHostPort(text)
    return split === undefined ? [] : places(split.address).map((address) => ({ address, port: split.port }))
  })
  return [...new Map(all.map((endpoint) => [endpointText(endpoint), endpoint])).values()]
}

function doorsOf({ api, streams }: Subject, places: (host: string) => readonly string[]): Door[] {
  const of = (kind: Door['kind'], urls: readonly string[]): Door[] =>
    urls.flatMap((url) => {
      const port = Number(new URL(url).port || 443)
      return places(hostOf(url)).map((address) => ({ kind, url, host: hostOf(url), endpoint: { address, port } }))
    })
  return [...of('api', api), ...of('stream', streams)]
}

/** One address of each family and host is enough to meet a portal. */
function webPlaces(doors: readonly Door[]): { host: string; address: string }[] {
  const byFamily = new Map(
    doors.map(({ host, endpoint: { address } }) => [`${host} ${address.includes(':')}`, { host, address }]),
  )
  return [...byFamily.values()].slice(0, mostAddresses)
}

/** What the proxy is asked for: the way that the tunnel would take. */
function proxyTarget(doors: readonly Door[]): string | undefined {
  const door = doors.find(({ kind }) => kind === 'stream') ?? doors[0]
  return door && endpointText({ address: door.host, port: door.endpoint.port })
}

const hostOf = (url: string): string => new URL(url).hostname.replace(/^\[|\]$/g, '')

const isLiteral = (host: string): boolean => tryParseAddress(host) !== undefined

/** Those that came to something, in the order of the questions. */
async function each<T, R>(items: readonly T[], ask: (item: T) => Promise<R>): Promise<R[]> {
  const settled = await Promise.allSettled(items.map(ask))
  return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

/** The same for named facts: a probe that failed leaves its field out. */
async function all<T extends Record<string, Promise<unknown>>>(
  asked: T,
): Promise<{ [K in keyof T]?: NonNullable<Awaited<T[K]>> }> {
  const entries = await Promise.all(
    Object.entries(asked).map(async ([name, promise]) => [name, await promise.catch(() => undefined)] as const),
  )
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as never
}
