import type { FlowJournal } from '#broker/gateway/flow-journal.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Flow, FlowEnd } from '#shared/dataplane/flow.ts'
import { type FlowEnding, type FlowPolicy, forever, refused } from '#shared/dataplane/flow-filter.ts'
import { type InnerPacket, PacketKind } from '#shared/dataplane/inner-packet.ts'
import { after, type Clock, type Instant, milliseconds } from '#shared/time/instant.ts'

export interface GatewayPolicyOptions {
  registry: Pick<Registry, 'directory' | 'policy'>
  clock: Clock
  journal: FlowJournal
  mqttPort: number
}

/**
 * Who may begin what through this broker (DESIGN D14), default deny:
 *
 *   from      to         what
 *   operator  device     TCP and UDP ports that a grant names; echo where any grant holds between the two
 *   device    broker     MQTT, echo
 *   operator  broker     echo
 *   broker    anyone     echo (the probe of `adit why`)
 *   device    device     nothing
 */
export class GatewayPolicy implements FlowPolicy {
  readonly #options: GatewayPolicyOptions

  constructor(options: GatewayPolicyOptions) {
    this.#options = options
  }

  permit(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): Instant {
    const echo = packet.kind === PacketKind.EchoRequest
    if (from === undefined) return echo ? forever : refused
    const { clock } = this.#options
    const wall = clock.wall()
    const source = this.#admitted(from, wall)
    if (source === undefined) return refused
    let until = source.expiresAt
    if (to === undefined) {
      const mqtt = source.kind === 'device' && packet.kind === PacketKind.Tcp && packet.destinationPort === this.#options.mqttPort
      if (!echo && !mqtt) return refused
    } else {
      const target = this.#admitted(to, wall)
      const end = target && this.#granted(source, target, echo ? 'echo' : packet.destinationPort, wall)
      if (end === undefined) return refused
      until = Math.min(until ?? Number.POSITIVE_INFINITY, end)
    }
    return until === undefined || until === Number.POSITIVE_INFINITY ? forever : after(now, milliseconds(until - wall))
  }

  /** Whether a flow would still be permitted: asked after grants have changed. */
  stillPermits(flow: Flow): boolean {
    const wall = this.#options.clock.wall()
    if (flow.initiator === undefined) return true
    const source = this.#admitted(flow.initiator, wall)
    if (source === undefined) return false
    if (flow.responder === undefined) return true
    const target = this.#admitted(flow.responder, wall)
    const asked = flow.protocol === 6 || flow.protocol === 17 ? flow.responderPort : 'echo'
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

  /** Wall-clock ms until which a grant permits; Infinity: no end; undefined: none does. */
  #granted(operator: Principal, device: Principal, asked: number | 'echo', wall: number): number | undefined {
    if (operator.kind !== 'operator' || device.kind !== 'device') return undefined
    const { policy } = this.#options.registry
    if (asked !== 'echo') {
      const hit = policy.permits(operator, device, asked, wall)
      return hit && (hit.until ?? Number.POSITIVE_INFINITY)
    }
    const grants = policy.grantsBetween(operator, device, wall)
    return grants.length === 0 ? undefined : Math.max(...grants.map(({ until }) => until ?? Number.POSITIVE_INFINITY))
  }

  #admitted(end: NonNullable<FlowEnd>, wall: number): Principal | undefined {
    const { directory } = this.#options.registry
    const principal = directory.byPeerKey(end.peerKey)
    return principal !== undefined && directory.isAdmitted(principal, wall) ? principal : undefined
  }
}
