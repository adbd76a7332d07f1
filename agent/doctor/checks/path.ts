import type { Evidence } from '../evidence.ts'
import type { NatFact, UdpFact } from '../facts.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'

/** An inner packet of 1280 bytes in the noise suite, with IP and UDP headers: by then the path carries everything whole. */
const wholePacket = 1_360
/** Below this, IPv6 itself does not fit. */
const leastPacket = 1_280
/** A mapping that lives shorter costs more than a megabyte a month, seconds. */
const shortLifetime = 25

/** How well the way carries: sizes, losses, the NAT's habits. */
export function path(evidence: Evidence): Finding[] {
  return [...sizes(evidence), ...losses(evidence), ...nat(evidence)]
}

function sizes(evidence: Evidence): Finding[] {
  const measured = evidence.udp.filter(({ answered, sizes: asked }) => answered > 0 && asked.length > 0)
  const stalled = evidence.tlsOf('stalled').length > 0
  const health = evidence.facts.agent?.kind === 'running' ? evidence.facts.agent.health : undefined
  if (measured.length === 0) {
    if (health === 'small-packets-only') return [blackHole(undefined)]
    if (stalled && !evidence.apiWorks && evidence.anyAnswer && !evidence.streamWorks && !evidence.udpWorks)
      return [blackHole(undefined)]
    return []
  }
  // A large question is lost like a small one: three of them in a row say nothing on such a line.
  if (evidence.isLossy) return []
  const passed = Math.max(...measured.map(largestPassed))
  const failed = measured.flatMap((door) => door.sizes).filter(({ bytes, answered }) => !answered && bytes > passed)
  const limit = Math.min(...failed.map(({ bytes }) => bytes))
  if (failed.length === 0 || limit > wholePacket) return [ok('path-mtu', `Packets of ${passed} bytes pass.`)]
  if (limit <= leastPacket || health === 'small-packets-only' || stalled) return [blackHole(passed)]
  const text = `Packets of ${limit} bytes do not pass, those of ${passed} do.`
  return [
    warn(
      'mtu-black-hole',
      text,
      `Set the MTU of the interface that leads out to ${Math.max(passed, 1280)}, or let ICMP "packet too big" through.`,
    ),
  ]
}

/** Of what was asked in growing sizes; the small question is the least. */
const largestPassed = ({ sizes: asked }: UdpFact): number =>
  Math.max(0, ...asked.filter(({ answered }) => answered).map(({ bytes }) => bytes))

function blackHole(passed: number | undefined): Finding {
  const known = passed === undefined || passed === 0 ? '' : ` (${passed} bytes pass)`
  const text = `Small packets pass, large ones vanish without a word${known}: a black hole for the path's MTU.`
  return broken(
    'mtu-black-hole',
    text,
    'Let ICMP "packet too big" through the firewall, or lower the MTU of the interface that leads out.',
  )
}

function losses(evidence: Evidence): Finding[] {
  if (!evidence.isLossy) return []
  const text = `${evidence.loss.percent} % of the packets to the broker and back are lost.`
  return [warn('packet-loss', text, 'Check signal and cables, and who else uses the line.')]
}

function nat({ facts }: Evidence): Finding[] {
  if (facts.nat === undefined) return []
  const { mapping, lifetimeSeconds } = facts.nat
  if (lifetimeSeconds !== undefined && lifetimeSeconds < shortLifetime) {
    const text = `The NAT forgets a mapping after ${lifetimeSeconds} s: keepalives cost more than usual.`
    return [warn('nat-short-lifetime', text, 'Raise the UDP timeout of the router, or forward a port to this machine.')]
  }
  if (mapping === 'address-dependent' || mapping === 'address-and-port-dependent')
    return [
      warn(
        'nat-symmetric',
        `${natWords[mapping]}.`,
        'Nothing is wrong with the tunnel; forward a UDP port to this machine where direct paths matter.',
      ),
    ]
  const lives = lifetimeSeconds === undefined ? '' : `, mappings live ${lifetimeSeconds} s`
  return [ok('nat', `${natWords[mapping]}${lives}.`)]
}

const natWords: Record<NatFact['mapping'], string> = {
  none: 'No NAT',
  'endpoint-independent': 'NAT with one mapping for all (RFC 4787: endpoint-independent): direct paths are possible',
  'address-dependent': 'NAT with a mapping for each address: direct paths only towards an easier NAT',
  'address-and-port-dependent': 'NAT with a mapping for each address and port: direct paths only towards an easier NAT',
  unknown: 'NAT of an unknown kind',
}
