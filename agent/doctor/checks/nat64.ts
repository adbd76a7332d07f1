import { contains, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import type { Evidence } from '../evidence.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'

/** What a NAT64 gives is IPv6 and leads to IPv4: whether it does, in a network without IPv4. */
export function nat64(evidence: Evidence): Finding[] {
  const finding = verdict(evidence)
  return finding ? [finding] : []
}

/** The NAT64 is the cause, or as good as: the silence beyond it needs no line of its own. */
export const isNat64ToBlame = (evidence: Evidence): boolean => verdict(evidence)?.state === 'broken'

function verdict(evidence: Evidence): Finding | undefined {
  const { facts, tunnelUp } = evidence
  const { agent } = facts
  // Asked of the agent alone, or asked of the network in vain: what carries the tunnel works.
  if (agent?.kind === 'running' && agent.nat64 !== undefined && tunnelUp) return inUse(agent.nat64)
  if (facts.nat64 === undefined) return undefined
  const { how, prefixes } = facts.nat64
  const networks = prefixes.map(parseCidr)
  // What a proxy was asked for goes the proxy's own way.
  const isThrough = ({ endpoint, proxied = false }: { endpoint: { address: string }; proxied?: boolean }): boolean => {
    const address = proxied ? undefined : tryParseAddress(endpoint.address)
    return address !== undefined && networks.some((network) => contains(network, address))
  }
  const udp = (facts.udp ?? []).filter(isThrough)
  const doors = [...(facts.api ?? []), ...(facts.streams ?? []), ...(facts.plainHttp ?? [])].filter(isThrough)
  if (udp.length + doors.length === 0) return undefined
  const named = prefixes.join(' ')
  const isAnswered =
    udp.some(({ answered, refused }) => answered > 0 || refused) ||
    doors.some(({ reached }) => reached === 'open' || reached === 'refused')
  if (isAnswered) return inUse(named)
  const others = evidence.udpWorks || evidence.streamWorks || evidence.apiWorks || tunnelUp
  if (how === 'guessed') return others ? undefined : noneKnown
  const isRefused = udp.every(({ unreachable }) => unreachable) && doors.every(({ reached }) => reached === 'unreachable')
  if (others) return warn('nat64-broken', `${leads(named)} nothing answers, while IPv6 reaches the broker.`, mend)
  if (isRefused)
    return broken('nat64-broken', `${leads(named)} there is no way: neither by UDP nor by TCP is it reachable from here.`, mend)
  const text = `${leads(named)} nothing answers: it is broken, or the broker's machine is silent.`
  return broken(
    'nat64-silent',
    text,
    `Try the broker from another network; where it answers there, ${mend[0]!.toLowerCase()}${mend.slice(1)}`,
  )
}

const inUse = (prefixes: string): Finding =>
  ok('nat64', `This network has no IPv4; its NAT64 (${prefixes}) leads to the broker's IPv4 address.`)

const leads = (prefixes: string): string =>
  `This network has no IPv4, and through its NAT64 (${prefixes}), which alone leads to the broker's IPv4 address,`

const mend = 'Ask whoever runs this network to mend its NAT64, or give the broker an IPv6 address.'

const noneKnown = broken(
  'no-family',
  'The broker has IPv4 addresses alone, this machine has no way there, and its name server knows of no NAT64.',
  'Give the network IPv4 or a NAT64 with DNS64, or the broker an IPv6 address.',
)
