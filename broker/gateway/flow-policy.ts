import type { FlowJournal } from '#broker/gateway/flow-journal.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Flow, FlowEnd } from '#shared/dataplane/flow.ts'
import { type FlowEnding, type FlowPolicy, forever, refused } from '#shared/dataplane/flow-filter.ts'
import { type InnerPacket, PacketKind, Protocol } from '#shared/dataplane/inner-packet.ts'
import { after, type Clock, type Instant, milliseconds } from '#shared/time/instant.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import { WITHDRAWAL_PORT } from '#shared/wire/withdrawal-notice.ts'

export interface GatewayPolicyOptions {
  registry: Pick<Registry, 'directory' | 'policy'>
  clock: Clock
  journal: FlowJournal
  mqttPort: number
  /** Where this host's kernel has an interface in the tunnels: which ports it may reach, and which of its own may be reached. */
  host?: { reaches(port: number): boolean; serves(port: number): boolean } | undefined
}

/** A principal's own inner address, or a host in one of its subnets. */
interface End {
  readonly principal: Principal
  readonly isBehind: boolean
}

/** The inner UDP port by which agents hold associations of their own through the hub (DESIGN D6). */
const meetingPort = 4501

/** What a new flow asks of its responder: a TCP or UDP port, an echo, or to be met end to end, which the two judge for themselves. */
type Asked = number | 'echo' | 'meeting'

/**
 * Who may begin what through this broker (DESIGN D14), default deny:
 *
 *   from                        to                  what
 *   operator                    device              TCP and UDP ports that a grant names; echo, and UDP 4501 for an association of
 *                                                   their own, where any grant holds between the two
 *   operator                    host behind device  likewise, of grants to what lies behind
 *   device, host behind device  host behind device  likewise, of grants from the one to what lies behind the other
 *   device                      broker              MQTT, echo
 *   host behind device          broker              echo
 *   operator                    broker              echo
 *   broker                      anyone              echo (the probe of `adit why`), and UDP 4502: who is let in no longer
 *   broker's kernel             anyone              TCP and UDP ports that the configuration names (with a TUN alone)
 *   device, operator            broker's kernel     likewise, and the API
 *   anyone                      operator            nothing
 *   device, host behind device  device              nothing
 */
export class GatewayPolicy implements FlowPolicy {
  readonly #options: GatewayPolicyOptions

  constructor(options: GatewayPolicyOptions) {
    this.#options = options
  }

  permit(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): Instant {
    const asked = askedBy(packet.kind, packet.destinationPort)
    if (asked === undefined) return refused
    if (from === undefined) {
      const tells = packet.kind === PacketKind.Udp && asked === WITHDRAWAL_PORT
      const reaches = typeof asked === 'number' && this.#options.host?.reaches(asked)
      return asked === 'echo' || tells || reaches ? forever : refused
    }
    const { bytes, width, sourceAt, destinationAt } = packet
    const wall = this.#options.clock.wall()
    const source = this.#end(from, bytes.subarray(sourceAt, sourceAt + width), wall)
    if (source === undefined) return refused
    const target = to && this.#end(to, bytes.subarray(destinationAt, destinationAt + width), wall)
    if (to !== undefined && target === undefined) return refused
    const tcp = packet.kind === PacketKind.Tcp
    const end = target === undefined ? this.#toBroker(source, asked, tcp) : this.#granted(source, target, asked, wall)
    if (end === undefined) return refused
    const until = Math.min(source.principal.expiresAt ?? Number.POSITIVE_INFINITY, end)
    return until === Number.POSITIVE_INFINITY ? forever : after(now, milliseconds(until - wall))
  }

  /** Whether a flow would still be permitted: asked after grants have changed. */
  stillPermits(flow: Flow): boolean {
    const wall = this.#options.clock.wall()
    if (flow.initiator === undefined) return true
    const source = this.#end(flow.initiator, flow.initiatorBytes, wall)
    if (source === undefined) return false
    if (flow.responder === undefined) return true
    const target = this.#end(flow.responder, flow.responderBytes, wall)
    const asked = askedByFlow(flow)
    return target !== undefined && this.#granted(source, target, asked, wall) !== undefined
  }

  opened(flow: Flow): void {
    this.#options.journal.opened(flow)
  }

  closed(flow: Flow, why: FlowEnding): void {
    this.#options.journal.closed(flow, why)
  }

  refused(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): void {
    this.#options.journal.refused(packet, from, to, now)
  }

  #toBroker({ principal, isBehind }: End, asked: Asked, tcp: boolean): number | undefined {
    const mqtt = tcp && principal.kind === 'device' && !isBehind && asked === this.#options.mqttPort
    const serves = typeof asked === 'number' && !isBehind && this.#options.host?.serves(asked)
    return asked === 'echo' || mqtt || serves ? Number.POSITIVE_INFINITY : undefined
  }

  /** Wall-clock ms until which a grant permits; Infinity: no end; undefined: none does. */
  #granted(source: End, target: End, asked: Asked, wall: number): number | undefined {
    const { policy } = this.#options.registry
    const [who, device] = [source.principal, target.principal]
    if (target.isBehind) return asked === 'meeting' ? undefined : endOf(policy.permitsBehind(who, device, asked, wall))
    if (who.kind !== 'operator' || device.kind !== 'device') return undefined
    if (typeof asked === 'number') return endOf(policy.permits(who, device, asked, wall))
    const grants = policy.grantsBetween(who, device, wall)
    return grants.length === 0 ? undefined : Math.max(...grants.map(({ until }) => until ?? Number.POSITIVE_INFINITY))
  }

  /** Whose the address at an association's end is; undefined where its principal is admitted no more. */
  #end(association: NonNullable<FlowEnd>, address: Uint8Array, wall: number): End | undefined {
    const { directory } = this.#options.registry
    const principal = directory.byPeerKey(association.peerKey)
    if (principal === undefined || !directory.isAdmitted(principal, wall)) return undefined
    return { principal, isBehind: principal.subnets.length > 0 && !principal.addresses.includes(formatAddress(address)) }
  }
}

/** Whether an operator and a device hold an association of their own by this flow. */
export const isMeeting = (flow: Flow): boolean => askedByFlow(flow) === 'meeting'

function askedBy(kind: number, port: number): Asked | undefined {
  if (kind === PacketKind.EchoRequest) return 'echo'
  if (kind === PacketKind.Udp && port === meetingPort) return 'meeting'
  return kind === PacketKind.Tcp || kind === PacketKind.Udp ? port : undefined
}

function askedByFlow({ protocol, responderPort }: Flow): Asked {
  if (protocol === Protocol.Tcp) return responderPort
  if (protocol !== Protocol.Udp) return 'echo'
  return responderPort === meetingPort ? 'meeting' : responderPort
}

const endOf = (hit: { until?: number } | undefined): number | undefined => hit && (hit.until ?? Number.POSITIVE_INFINITY)
