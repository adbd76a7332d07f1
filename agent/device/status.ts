import type { FleetTrust } from '#agent/core/fleet-trust.ts'
import type { PathState } from '#agent/core/path-health.ts'
import type { Identity } from '#agent/io/identity.ts'
import type { LocalMqttCounters } from '#agent/io/local-mqtt.ts'
import type { Finding } from '#agent/io/outer-finding.ts'
import type { HostKeys } from '#agent/io/ssh-host-keys.ts'
import type { Tunnel } from '#agent/io/tunnel.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { type DropCounters, DropReason } from '#shared/drop-reason.ts'
import { keyFingerprint } from '#shared/fleet/key-fingerprint.ts'
import type { DataMode } from '#shared/nat/data-budget.ts'
import { version } from '#shared/platform/version.ts'
import type { Instant, WallTime } from '#shared/time/instant.ts'
import type { Endpoint, SuiteName } from '#shared/tunnel/association.ts'
import { type Carrier, carrierOf, endpointText } from '#shared/wire/endpoint.ts'
import type { StorageStatus } from './reading-store.ts'
import type { ServiceStatus } from './service-host.ts'
import type { Standing } from './standing.ts'

/** What `adit-agent status --json` prints: stable fields. Ages and spans in seconds. */
export interface DeviceStatus {
  readonly name: string
  readonly version: string
  readonly uptimeSeconds: number
  readonly standing: Standing
  readonly tunnel: {
    readonly state: string
    readonly sinceSeconds: number
    readonly suite: SuiteName | null
    /** Of a stream its URL, and the proxy that it goes through. */
    readonly endpoint: string | null
    /** The prefix of the NAT64 that leads there, where the network has no IPv4. */
    readonly nat64: string | null
    /** What bears the datagrams. */
    readonly carrier: 'udp' | Carrier | null
    /** Age of the last authentic packet from the broker: what `state` rests on. */
    readonly evidenceAgeSeconds: number | null
    /** What the way is good for, by probes: up, one-way, small-packets-only, control-only or down. */
    readonly health: {
      readonly state: PathState
      readonly sinceSeconds: number
      /** What was seen last that speaks for it, and how long ago. */
      readonly evidence: string
      readonly evidenceAgeSeconds: number | null
    } | null
    /** Why the last negotiation came to nothing, while the tunnel is not up. */
    readonly refusal: { readonly code: string; readonly text: string; readonly mend: string } | null
    /** Outer bytes that pass, IP header included. */
    readonly mtu: number | null
    readonly addresses: readonly string[]
    readonly sentBytes: number
    readonly receivedBytes: number
    readonly handshakes: number
    /** What moves packets, and the kernel's interface in the tunnel, if there is one: its name, and why it is not as it should be. */
    readonly engine: 'portable' | 'linux'
    readonly interface: { readonly name: string; readonly problem: string | null } | null
  }
  /** What the tunnel's data costs. Bytes at the interface, with IP and UDP headers, since the start. */
  readonly data: {
    readonly mode: DataMode
    readonly keepaliveSeconds: number | null
    /** What is known of this network's UDP mappings: unasked, learning, remembered, known or unknown (`why`). */
    readonly lifetime: string
    readonly lifetimeSeconds: number | null
    readonly sentBytes: number
    readonly receivedBytes: number
    /** Of these, what a stream carried, whose headers are estimated. */
    readonly estimatedBytes: number
    readonly monthlyMegabytes: number | null
    /** Of an idle month at the present interval; null on demand. */
    readonly projectedMegabytes: number | null
    readonly exceeded: boolean
    /** On demand: the longest that a call may have to wait. */
    readonly pollSeconds: number | null
  }
  /** What stands between us and the broker, as far as it was met. */
  readonly findings: readonly (Omit<Finding, 'at'> & { readonly ageSeconds: number })[]
  readonly certificate: { readonly notAfter: string; readonly expired: boolean }
  readonly clock: 'ok' | 'below-floor'
  readonly services: readonly ServiceStatus[]
  readonly hostKeys: HostKeys
  /** Whose signature counts here (DESIGN D6), and what was refused for want of it, since the start. */
  readonly fleet: {
    /** Of the key, `5f1c 09aa …`; null: none is known yet. */
    readonly fingerprint: string | null
    /** The administrator's key is pinned: no other counts, whatever the broker says. */
    readonly pinned: boolean
    readonly statements: number
    readonly grants: number
    readonly refusedStatements: number
    readonly lastRefusedStatement: string | null
    readonly refusedConnections: number
    readonly lastRefusedConnection: string | null
    /** Packets that no association with their sender brought, or that no grant shown by it allows. */
    readonly refusedPackets: number
  }
  readonly storage: StorageStatus
  /** `refused`: readings that the broker would never take; each left a record of its gap. */
  readonly uplink: { readonly connected: boolean; readonly delivered: number; readonly refused: number }
  readonly readings: {
    readonly listen: string | null
    readonly accepted: number
    readonly refused: number
    readonly problem: string | null
  }
}

export interface StatusParts {
  readonly now: Instant
  readonly wall: WallTime
  readonly startedAt: Instant
  readonly identity: Identity
  readonly standing: Standing
  readonly tunnel: Tunnel | undefined
  readonly services: readonly ServiceStatus[]
  readonly storage: StorageStatus
  readonly hostKeys: HostKeys
  readonly fleet: FleetTrust
  readonly uplink: DeviceStatus['uplink']
  readonly mqtt: {
    readonly address: Endpoint | undefined
    readonly counters: LocalMqttCounters | undefined
    readonly error: string | undefined
  }
}

export function statusOf(parts: StatusParts): DeviceStatus {
  const { now, startedAt, identity, tunnel, mqtt } = parts
  const association = tunnel?.core.association
  const health = tunnel?.core.health
  const refusal = tunnel?.refusal
  const age = (at: Instant | undefined): number | null => (at === undefined ? null : Math.round((now - at) / 1000))
  return {
    name: identity.record.name,
    version,
    uptimeSeconds: age(startedAt) ?? 0,
    standing: parts.standing,
    tunnel: {
      state: tunnel?.core.state ?? 'starting',
      sinceSeconds: age(tunnel?.core.since) ?? 0,
      suite: association?.suite ?? null,
      endpoint: (association?.endpoint && tunnel?.outer?.describe(association.endpoint)) ?? null,
      nat64: tunnel?.nat64 ?? null,
      carrier: association?.endpoint ? (carrierOf(association.endpoint) ?? 'udp') : null,
      evidenceAgeSeconds: age(association?.lastAuthentic),
      health: health
        ? {
            state: health.state,
            sinceSeconds: age(health.since) ?? 0,
            evidence: health.evidence,
            evidenceAgeSeconds: age(health.evidenceAt),
          }
        : null,
      refusal: refusal ? { code: refusal.code, text: refusal.message, mend: refusal.mendHere } : null,
      mtu: tunnel?.core.path?.mtu ?? null,
      addresses: tunnel?.config?.inner.addresses ?? [],
      sentBytes: association?.counters.outerSent ?? 0,
      receivedBytes: association?.counters.outerReceived ?? 0,
      handshakes: association?.counters.handshakes ?? 0,
      engine: tunnel?.kernel ? 'linux' : 'portable',
      interface: tunnel?.kernel ?? null,
    },
    data: dataOf(tunnel),
    findings: (tunnel?.outer?.findings ?? []).map(({ at, ...finding }) => ({
      ...finding,
      ageSeconds: Math.max(0, Math.round((parts.wall - at) / 1000)),
    })),
    certificate: {
      notAfter: new Date(identity.leaf.notAfter).toISOString(),
      expired: identity.leaf.notAfter < identity.floors.time.now(),
    },
    clock: identity.floors.time.isUnsure ? 'below-floor' : 'ok',
    services: parts.services,
    hostKeys: parts.hostKeys,
    fleet: fleetOf(parts.fleet, tunnel?.core.direct?.counters),
    storage: parts.storage,
    uplink: parts.uplink,
    readings: {
      listen: textOf(mqtt.address),
      accepted: mqtt.counters?.accepted ?? 0,
      refused: mqtt.counters?.refused ?? 0,
      problem: mqtt.error ?? mqtt.counters?.lastRefusal ?? null,
    },
  }
}

function dataOf(tunnel: Tunnel | undefined): DeviceStatus['data'] {
  const care = tunnel?.care
  const status = care?.status
  const lifetime = status?.lifetime
  const sleeps = status?.mode === 'on-demand' || status?.sleepsForBudget === true
  return {
    mode: status?.mode ?? 'normal',
    keepaliveSeconds: sleeps || tunnel === undefined ? null : Math.round(tunnel.core.keepaliveInterval / 1000),
    lifetime: lifetime === undefined ? 'unasked' : lifetime.kind === 'unknown' ? `unknown (${lifetime.why})` : lifetime.kind,
    lifetimeSeconds: lifetime?.kind === 'known' ? Math.round(lifetime.survived / 1000) : null,
    sentBytes: care?.meter.sent ?? 0,
    receivedBytes: care?.meter.received ?? 0,
    estimatedBytes: care?.meter.estimated ?? 0,
    monthlyMegabytes: status?.monthlyMegabytes ?? null,
    projectedMegabytes: status?.projectedMegabytes === undefined ? null : Number(status.projectedMegabytes.toFixed(2)),
    exceeded: status?.isExceeded ?? false,
    pollSeconds: sleeps ? Math.round((status?.poll ?? 0) / 1000) : null,
  }
}

function fleetOf(trust: FleetTrust, packets: DropCounters | undefined): DeviceStatus['fleet'] {
  const { keys, pinned, ledger, refusedConnections, lastRefusedConnection } = trust
  const [key] = keys
  return {
    fingerprint: key === undefined ? null : keyFingerprint(key, nativeSuite),
    pinned: pinned !== undefined,
    statements: ledger.size,
    grants: ledger.grants().length,
    refusedStatements: ledger.refusals,
    lastRefusedStatement: ledger.lastRefusal ?? null,
    refusedConnections,
    lastRefusedConnection: lastRefusedConnection ?? null,
    refusedPackets: (packets?.of(DropReason.FilterRefused) ?? 0) + (packets?.of(DropReason.InnerSourceRefused) ?? 0),
  }
}

const textOf = (endpoint: Endpoint | undefined): string | null => (endpoint === undefined ? null : endpointText(endpoint))
