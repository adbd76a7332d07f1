import type { AuditEntry, AuditLog } from '#broker/registry/audit-log.ts'
import type { Directory } from '#broker/registry/directory.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Flow, FlowEnd } from '#shared/dataplane/flow.ts'
import type { FlowEnding } from '#shared/dataplane/flow-filter.ts'
import { type InnerPacket, Protocol } from '#shared/dataplane/inner-packet.ts'
import type { Log } from '#shared/platform/log.ts'
import { type Clock, elapsed, type Instant, minutes } from '#shared/time/instant.ts'
import { TokenBucket } from '#shared/time/token-bucket.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'

/** The same refusal is written once, then counted for so long before it is written again. */
const repeatAfter = minutes(1)
/** Different refusals remembered at once, and rows a second that all of them may cost together. */
const capacity = 4_096
const rowRate = 20
const rowBurst = 200

interface Repeat {
  entry: AuditEntry
  writtenAt: Instant
  /** Happenings since it was last written. */
  unwritten: number
}

/**
 * Writes flows between operators and devices, and every refusal, to the audit log. What a stranger's flood could make without end is
 * written once a minute with its count, and never faster than the disk bears.
 */
export class FlowJournal {
  /** Refusals that found no room even as a count of their own. */
  suppressed = 0
  readonly #audit: Pick<AuditLog, 'append'>
  readonly #directory: Pick<Directory, 'byPeerKey'>
  readonly #clock: Clock
  readonly #log: Log
  readonly #repeats = new Map<string, Repeat>()
  readonly #rows = new TokenBucket(rowRate, rowBurst)

  constructor(options: { audit: Pick<AuditLog, 'append'>; directory: Pick<Directory, 'byPeerKey'>; clock: Clock; log: Log }) {
    this.#audit = options.audit
    this.#directory = options.directory
    this.#clock = options.clock
    this.#log = options.log
  }

  opened(flow: Flow): void {
    if (!isSession(flow)) return
    this.#append({ ...this.#ends('flow.open', flow.initiator, flow.responder), detail: this.#describe(flow) })
  }

  closed(flow: Flow, why: FlowEnding): void {
    if (!isSession(flow)) return
    const { bytesForward, bytesBack } = flow
    const ms = Math.round(elapsed(flow.openedAt, flow.lastSeen))
    const detail = { ...this.#describe(flow), bytesForward, bytesBack, ms, why }
    this.#append({ ...this.#ends('flow.close', flow.initiator, flow.responder), detail })
  }

  refused(packet: InnerPacket, from: FlowEnd, to: FlowEnd, now: Instant): void {
    // A client's stray port makes no difference to what was refused.
    const { protocol, destinationPort } = packet
    const key = `${from?.id ?? ''}>${to?.id ?? ''}:${protocol}:${destinationPort}`
    const detail = { protocol: protocolName(protocol), ...(destinationPort > 0 && { port: destinationPort }) }
    this.#repeating(key, () => ({ ...this.#ends('flow.refused', from, to), detail }), now)
  }

  /** An association sent from an inner address that is not its own (P-30). */
  spoofed(packet: InnerPacket, from: Association, now: Instant): void {
    const compose = (): AuditEntry => {
      const claimed = formatAddress(packet.bytes, packet.sourceAt, packet.width)
      const entry = { ...this.#ends('packet.spoofed', from, undefined), detail: { claimed } }
      this.#log.warn({ actor: entry.actor, claimed }, 'a peer sends from an inner address that is not its own')
      return entry
    }
    this.#repeating(`spoof ${from.id}`, compose, now)
  }

  /** Writes the counts that have waited their minute. */
  flush(now: Instant, all = false): void {
    for (const [key, repeat] of this.#repeats) {
      if (!all && elapsed(repeat.writtenAt, now) < repeatAfter) continue
      this.#repeats.delete(key)
      if (repeat.unwritten > 0) this.#append(withCount(repeat))
    }
  }

  #repeating(key: string, compose: () => AuditEntry, now: Instant): void {
    const known = this.#repeats.get(key)
    if (known !== undefined) {
      known.unwritten++
      return
    }
    if (this.#repeats.size >= capacity || !this.#rows.take(now)) {
      this.suppressed++
      return
    }
    const entry = compose()
    this.#repeats.set(key, { entry, writtenAt: now, unwritten: 0 })
    this.#append(entry)
  }

  #ends(action: string, from: FlowEnd, to: FlowEnd): AuditEntry {
    const source = from && this.#directory.byPeerKey(from.peerKey)
    const target = to && this.#directory.byPeerKey(to.peerKey)
    const device = [target, source].find((principal) => principal?.kind === 'device')
    return {
      actor: nameOf(source),
      action,
      subject: nameOf(target),
      ...(device && { deviceId: device.id }),
    }
  }

  #describe(flow: Flow): Record<string, unknown> {
    const { protocol, responder, responderPort, initiatorAddress: from, responderAddress: to } = flow
    const ports = protocol === Protocol.Tcp || protocol === Protocol.Udp
    const isBehind = responder && this.#directory.byPeerKey(responder.peerKey)?.addresses.includes(to) === false
    return { protocol: protocolName(protocol), ...(ports && { port: responderPort }), from, ...(isBehind && { to }) }
  }

  #append(entry: AuditEntry): void {
    // Nobody waits for an audit row on the data lane; the log itself reports a disk that fails.
    this.#audit.append(entry).catch((error: unknown) => this.#log.error({ error, at: this.#clock.wall() }, 'audit row lost'))
  }
}

const nameOf = (principal: Principal | undefined): string =>
  principal === undefined ? 'broker' : `${principal.kind}:${principal.name}`

/** Devices' own conversations with the broker (MQTT) are presence and telemetry, not sessions; nor is the broker's probe. */
function isSession(flow: Flow): boolean {
  return flow.initiator !== undefined && flow.responder !== undefined
}

function protocolName(protocol: number): string {
  if (protocol === Protocol.Tcp) return 'tcp'
  if (protocol === Protocol.Udp) return 'udp'
  return protocol === Protocol.Icmp || protocol === Protocol.Icmpv6 ? 'icmp' : `ip-${protocol}`
}

function withCount({ entry, unwritten }: Repeat): AuditEntry {
  return { ...entry, detail: { ...entry.detail, repeated: unwritten } }
}
