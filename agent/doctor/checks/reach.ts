import { endpointText } from '#shared/wire/endpoint.ts'
import { type Evidence, familyOf } from '../evidence.ts'
import type { DoorFact, Family, UdpFact } from '../facts.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'
import { isNat64ToBlame } from './nat64.ts'
import { portal } from './portal.ts'

const openUdp =
  'Ask for UDP to that port to be let out; until then the tunnel takes the WebSocket on 443, where the broker offers it.'

/** Which ways to the broker are open: UDP, the API, the WebSocket. */
export function reach(evidence: Evidence): Finding[] {
  if (isNat64ToBlame(evidence)) return []
  if (!evidence.asked) return noAddress(evidence)
  const captive = portal(evidence)
  if (captive) return [captive]
  const shut = proxyNeeded(evidence)
  if (shut) return [shut]
  if (!evidence.anyAnswer && !evidence.tunnelUp && !evidence.streamWorks) return nothingAnswers(evidence)
  if (nobodyListens(evidence)) return [stopped(evidence)]
  if (only443(evidence)) return [only443Line(evidence), ...streams(evidence)]
  return [...udp(evidence), ...api(evidence), ...streams(evidence), ...families(evidence)]
}

function noAddress(evidence: Evidence): Finding[] {
  if (evidence.hasAddress) {
    const { routes } = evidence.facts
    // The missing route has been told.
    if (routes && !routes.ipv4 && !routes.ipv6) return []
    const [first] = evidence.facts.udp ?? evidence.facts.api ?? []
    const family = familyOf(first?.endpoint.address ?? '')
    const text = `The broker has ${family} addresses alone, and this machine has no way there.`
    return [broken('no-family', text, `Give the network ${family}, or the broker an address of the other family.`)]
  }
  return []
}

/** Every answer to a packet of ours was "nobody listens here". */
function nobodyListens({ udp, doors, udpWorks, streamWorks }: Evidence): boolean {
  // An agent may take some seconds to notice what we were just told.
  if (udpWorks || streamWorks || doors.some(({ reached }) => reached === 'open')) return false
  const refusals = doors.filter(({ reached }) => reached === 'refused').length
  return refusals > 0 && (udp.length === 0 || udp.some(({ refused }) => refused) || refusals === doors.length)
}

function stopped({ udp, doors }: Evidence): Finding {
  const places = [...new Set([...udp, ...doors].map(({ endpoint }) => endpoint.address))].join(' ')
  const mend = 'Start it on the server: adit-broker run; if it runs, check that its ports are those that the claim named.'
  return broken('broker-stopped', `The broker's machine (${places}) answers, but no broker listens there.`, mend)
}

function nothingAnswers(evidence: Evidence): Finding[] {
  const { routes } = evidence.facts
  if (routes && !routes.ipv4 && !routes.ipv6) return []
  // A silent next hop, and a name that cannot be found, have been told.
  if (routes?.gateway?.answers === false && !evidence.resolverAnswers && !routes.ipv6) return []
  const places = [...new Set([...evidence.udp, ...evidence.doors].map(({ endpoint }) => endpoint.address))].join(' ')
  // The proxy is the fault and has been told, or it would be the way, and nobody knows what it says.
  if (isProxyToBlame(evidence)) return []
  if (evidence.facts.proxy === undefined && evidence.isProxied) return [unclear(places)]
  if (evidence.resolverAnswers) {
    const text = `Nothing answers at ${places}, by UDP or TCP, although this network has a way out.`
    return [
      broken(
        'broker-silent',
        text,
        "Check that the broker's machine is up, and that a firewall on the way lets its ports through.",
      ),
    ]
  }
  const asked = evidence.names.length > 0
  if (asked && routes?.gateway?.answers === true) {
    const text = `The gateway ${routes.gateway.address} is there, but nothing beyond it answers: neither a name server nor the broker (${places}).`
    return [broken('uplink-dead', text, "Check the router's own connection to the internet: cable, SIM card, contract.")]
  }
  return [unclear(places)]
}

/** It is not there, or says no. From 500 on it is what lies beyond that fails. */
function isProxyToBlame({ facts: { proxy } }: Evidence): boolean {
  if (proxy === undefined) return false
  const { reached, status } = proxy
  return reached !== 'open' || (status !== undefined && status >= 300 && status < 500)
}

const unclear = (places: string): Finding =>
  broken(
    'nothing-answers',
    `Nothing answers at ${places}, by UDP or TCP.`,
    "Check this network's connection to the internet, then the broker's machine; what was seen does not tell them apart.",
  )

function udp(evidence: Evidence): Finding[] {
  const { udp: doors, streamWorks, apiWorks } = evidence
  if (doors.length === 0) return evidence.ridesStream ? [left(openUdp)] : []
  const open = doors.filter(({ answered }) => answered > 0)
  if (open.length > 0) {
    const [best] = [...open].sort((a, b) => (a.roundTripMs ?? 0) - (b.roundTripMs ?? 0))
    const rest = doors.filter(({ answered, sent }) => answered === 0 && sent > 0)
    const lines = [
      ok(
        'udp',
        `UDP reaches the broker at ${placesOf(open)}${best?.roundTripMs === undefined ? '' : `, ${Math.round(best.roundTripMs)} ms`}.`,
      ),
    ]
    const sameFamily = rest.filter(({ endpoint }) =>
      open.some((other) => familyOf(other.endpoint.address) === familyOf(endpoint.address)),
    )
    if (sameFamily.length > 0 && !aliens(sameFamily, evidence) && !evidence.isLossy)
      lines.push(
        warn(
          'broker-address-silent',
          `UDP gets no answer from ${placesOf(sameFamily)}.`,
          "Take the address out of the broker's public-endpoints, or open it.",
        ),
      )
    return lines
  }
  const places = placesOf(doors)
  const around = streamWorks || evidence.tunnelUp
  const worst = around ? warn : broken
  // API and tunnel are one process: where the one answers, a refusal of the other is a firewall's.
  if (doors.some(({ refused }) => refused) && !apiWorks && !streamWorks) {
    const text = `The broker's machine says that nobody listens for UDP at ${places}.`
    return [worst('broker-udp-closed', text, 'Check that the broker runs, and that its UDP port is the one in public-endpoints.')]
  }
  if (doors.every(({ sent }) => sent === 0)) return []
  // Where every connection is cut, more than UDP is kept out.
  const opened = evidence.doors.filter(({ reached }) => reached === 'open')
  if (!around && opened.length > 0 && opened.every(({ tls }) => tls?.kind === 'no-tls')) return [cut(places)]
  // Somebody else answered every one of them, and `trust` says who.
  if (!around && opened.length > 0 && opened.every(({ tls }) => tls?.kind === 'other-issuer')) return []
  const tcp = apiWorks || streamWorks || evidence.doors.some(({ reached }) => reached === 'open')
  if (!tcp) return [worst('udp-silent', `UDP gets no answer from ${places}.`, openUdp)]
  const through = streamWorks ? ' The WebSocket carries the tunnel instead.' : ''
  return [
    worst('udp-blocked', `UDP to the broker (${places}) gets no answer, TCP does: a firewall keeps it out.${through}`, openUdp),
  ]
}

const left = (mend: string): Finding =>
  warn('udp-blocked', 'The tunnel had to leave UDP and rides on a stream, which is slower.', mend)

const cut = (places: string): Finding =>
  broken(
    'intercepted',
    `UDP to ${places} gets no answer, and connections there are taken and cut.`,
    'A firewall stands in between, or this network wants its proxy used: ask whoever runs it.',
  )

/** DNS led us there, and `names` has said so. */
const aliens = (doors: readonly UdpFact[], evidence: Evidence): boolean =>
  doors.every(({ endpoint }) =>
    evidence.names.some(
      ({ addresses, known }) => addresses.includes(endpoint.address) && known.length > 0 && !known.includes(endpoint.address),
    ),
  )

function api(evidence: Evidence): Finding[] {
  const doors = evidence.facts.api?.filter(({ reached }) => reached !== 'unreachable') ?? []
  if (doors.length === 0) return []
  if (evidence.apiWorks)
    return [ok('api', `The broker's API answers at ${placesOf(doors.filter(({ tls }) => tls?.kind === 'proven'))}.`)]
  // Whom we met instead is for `trust` to say; a connection that stalls, for `path`.
  if (doors.some(({ tls }) => tls !== undefined && tls.kind !== 'no-tls')) return []
  const places = placesOf(doors)
  // An agent has its tunnel; who has no identity yet gets none without the API.
  const worst = evidence.isStranger ? broken : warn
  if (doors.every(({ reached }) => reached === 'refused')) {
    const text = `Nobody listens at ${places}, where the broker's API should be.`
    return [
      worst('api-refused', text, 'Check the address and port of the API (api, public-api) in the configuration of the broker.'),
    ]
  }
  if (doors.some(({ reached }) => reached === 'open')) {
    const text = `Something at ${places} takes the connection and speaks no TLS.`
    return [worst('api-cut', text, 'A firewall or a proxy cuts TLS there: ask for an exception, or give the API port 443.')]
  }
  if (evidence.isLossy) return []
  const without = evidence.isStranger ? 'nobody enrols there' : 'certificates cannot be renewed'
  const text = `The broker's API (${places}) does not answer, so that ${without}.`
  return [worst('api-silent', text, `Ask for TCP to be let out there, or give the API port 443 (public-api).`)]
}

/** The WebSocket alone gets out, and the API would be elsewhere. */
function only443({ udp, udpWorks, streamWorks, ridesStream, facts }: Evidence): boolean {
  const doors = facts.api?.filter(({ reached }) => reached !== 'unreachable') ?? []
  const isShut = doors.length > 0 && doors.every(({ reached }) => reached === 'silent')
  const isUdpShut = udp.length > 0 ? udp.every(({ answered, refused }) => answered === 0 && !refused) : ridesStream
  // A tunnel may outlive the opening of its own door: where a new WebSocket was tried in vain, what is let out is not known.
  const isStreamTried = facts.streams?.some(({ reached }) => reached !== 'unreachable') ?? false
  return !udpWorks && (streamWorks || (ridesStream && !isStreamTried)) && isShut && isUdpShut
}

const only443Line = ({ facts }: Evidence): Finding =>
  warn(
    'only-443',
    `This network lets nothing out but TCP 443: the WebSocket works, UDP and the API (${placesOf(facts.api ?? [])}) do not.`,
    "The tunnel works, slower; ask for UDP, or give the broker's API port 443 too, so that certificates can be renewed.",
  )

/** Web pages get out, through somebody who answers for all, and nothing else does. */
function proxyNeeded({ facts, doors, udpWorks, isProxied }: Evidence): Finding | undefined {
  if (udpWorks || facts.proxy !== undefined || isProxied) return undefined
  const isAnswered = facts.plainHttp?.some(({ status }) => status !== undefined) ?? false
  const isCut =
    doors.length > 0 && doors.every(({ tls, reached }) => (reached === 'open' && tls?.kind === 'no-tls') || reached === 'silent')
  if (!isAnswered || !isCut || !doors.some(({ reached }) => reached === 'open')) return undefined
  return broken(
    'proxy-needed',
    'Plain web requests are answered by something on this network; UDP gets no answer, and TLS is cut.',
    'This network wants its proxy used: set https_proxy=http://HOST:PORT for the agent, or ask for an exception.',
  )
}

function streams(evidence: Evidence): Finding[] {
  const doors = evidence.facts.streams?.filter(({ reached }) => reached !== 'unreachable') ?? []
  if (doors.length === 0 || (evidence.isLossy && !evidence.streamWorks)) return []
  if (evidence.streamWorks)
    return [ok('websocket', `The WebSocket works at ${placesOf(doors.filter(({ status }) => status === 101))}.`)]
  if (doors.some(({ tls }) => tls?.kind === 'other-issuer' || tls?.kind === 'stalled')) return []
  const text = `The WebSocket at ${placesOf(doors)} does not work: ${whyNot(doors)}.`
  const isNeeded = !evidence.udpWorks
  // With UDP it is a reserve; without, the last way there was.
  return [
    (isNeeded && !evidence.tunnelUp ? broken : warn)(
      'websocket-silent',
      text,
      'Check that the broker listens on 443, and that TLS to it is let through.',
    ),
  ]
}

function whyNot(doors: readonly DoorFact[]): string {
  const [door] = doors
  if (door?.reached !== 'open') return door?.reached === 'refused' ? 'nobody listens there' : 'no answer'
  return door.status === undefined ? 'the connection is cut' : `the answer is HTTP ${door.status}`
}

/** One family of addresses is dead while the other works. */
function families({ udp: asked, doors, isLossy }: Evidence): Finding[] {
  if (isLossy) return []
  const places = [...asked, ...doors]
  const of = (family: Family) => places.filter(({ endpoint }) => familyOf(endpoint.address) === family)
  const hasAnswer = (place: UdpFact | DoorFact): boolean =>
    'answered' in place ? place.answered > 0 || place.refused : place.reached !== 'silent'
  const dead = (['IPv4', 'IPv6'] as const).filter((family) => of(family).length > 0 && !of(family).some(hasAnswer))
  if (dead.length !== 1 || places.length === of(dead[0]!).length) return []
  const text = `${dead[0]} does not reach the broker (${placesOf(of(dead[0]!))}); the other family does, and carries the tunnel.`
  return [warn('family-broken', text, `Mend ${dead[0]} on this network, or switch it off, so that nothing waits for it.`)]
}

const placesOf = (doors: readonly { endpoint: UdpFact['endpoint'] }[]): string =>
  [...new Set(doors.map(({ endpoint }) => endpointText(endpoint)))].join(' ')
