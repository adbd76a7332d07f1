import { endpointText } from '#shared/wire/endpoint.ts'
import { type Evidence, familyOf } from '../evidence.ts'
import type { DoorFact, UdpFact } from '../facts.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'
import { portal } from './portal.ts'

const openUdp =
  'Ask for UDP to that port to be let out; until then the tunnel takes the WebSocket on 443, where the broker offers it.'

/** Which ways to the broker are open: UDP, the API, the WebSocket. */
export function reach(evidence: Evidence): Finding[] {
  if (!evidence.asked) return noAddress(evidence)
  const captive = portal(evidence)
  if (captive) return [captive]
  if (!evidence.anyAnswer) return nothingAnswers(evidence)
  if (nobodyListens(evidence)) return [stopped(evidence)]
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
function nobodyListens({ udp, doors, udpWorks }: Evidence): boolean {
  if (udpWorks || doors.some(({ reached }) => reached === 'open')) return false
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
  const text = `Nothing answers at ${places}, by UDP or TCP.`
  const mend =
    "Check this network's connection to the internet, then the broker's machine; what was seen does not tell them apart."
  return [broken('nothing-answers', text, mend)]
}

function udp(evidence: Evidence): Finding[] {
  const { udp: doors, streamWorks, apiWorks } = evidence
  if (doors.length === 0) return []
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
    if (sameFamily.length > 0 && !aliens(sameFamily, evidence))
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
  const tcp = apiWorks || streamWorks || evidence.doors.some(({ reached }) => reached === 'open')
  if (!tcp) return [worst('udp-silent', `UDP gets no answer from ${places}.`, openUdp)]
  const through = streamWorks ? ' The WebSocket carries the tunnel instead.' : ''
  return [
    worst('udp-blocked', `UDP to the broker (${places}) gets no answer, TCP does: a firewall keeps it out.${through}`, openUdp),
  ]
}

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
  if (doors.every(({ reached }) => reached === 'refused')) {
    const text = `Nobody listens at ${places}, where the broker's API should be.`
    return [
      warn('api-refused', text, 'Check the address and port of the API (api, public-api) in the configuration of the broker.'),
    ]
  }
  if (!evidence.udpWorks && evidence.streamWorks) return [only443(places)]
  if (doors.some(({ reached }) => reached === 'open')) {
    const text = `Something at ${places} takes the connection and speaks no TLS.`
    return [warn('api-cut', text, 'A firewall or a proxy cuts TLS there: ask for an exception, or give the API port 443.')]
  }
  const text = `The broker's API (${places}) does not answer, so that certificates cannot be renewed.`
  return [warn('api-silent', text, `Ask for TCP to be let out there, or give the API port 443 (public-api).`)]
}

const only443 = (places: string): Finding =>
  warn(
    'only-443',
    `This network lets nothing out but TCP 443: the WebSocket works, UDP and ${places} do not.`,
    "The tunnel works, slower; ask for UDP, or give the broker's API port 443 too, so that certificates can be renewed.",
  )

function streams(evidence: Evidence): Finding[] {
  const doors = evidence.facts.streams?.filter(({ reached }) => reached !== 'unreachable') ?? []
  if (doors.length === 0) return []
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
function families({ udp: doors, facts }: Evidence): Finding[] {
  return (['IPv4', 'IPv6'] as const).flatMap((family) => {
    const own = doors.filter(({ endpoint }) => familyOf(endpoint.address) === family)
    const others = doors.filter(({ endpoint }) => familyOf(endpoint.address) !== family)
    if (own.length === 0 || own.some(({ answered, refused }) => answered > 0 || refused)) return []
    if (!others.some(({ answered }) => answered > 0)) return []
    const tcp = [...(facts.api ?? []), ...(facts.streams ?? [])].filter(({ endpoint }) => familyOf(endpoint.address) === family)
    if (tcp.some(({ reached }) => reached === 'open')) return []
    const text = `${family} does not reach the broker (${placesOf(own)}); the other family does, and carries the tunnel.`
    return [warn('family-broken', text, `Mend ${family} on this network, or switch it off, so that nothing waits for it.`)]
  })
}

const placesOf = (doors: readonly { endpoint: UdpFact['endpoint'] }[]): string =>
  [...new Set(doors.map(({ endpoint }) => endpointText(endpoint)))].join(' ')
