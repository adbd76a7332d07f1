import type { Config } from '#broker/config.ts'
import type { EspFacts } from '#broker/gateway/esp-facts.ts'
import type { Presence } from '#broker/gateway/view.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Clock } from '#shared/time/instant.ts'

/** Who reaches an address, as far as can be told: all, the machine's own network, or nobody but the machine. */
export type Extent = 'anywhere' | 'network' | 'machine'

/** Where the broker is reached, as the administrator's words need it. */
export interface Reach {
  /** `https://HOST:PORT`, in order of preference: what a claim says. Empty while no port is known. */
  readonly api: readonly string[]
  /** `HOST:PORT` of UDP: what a stock WireGuard peer is told. */
  readonly endpoints: readonly string[]
  /** Literal addresses of the hosts that `api` names; empty where it names none. */
  readonly addresses: readonly string[]
  readonly extent: { readonly api: Extent; readonly endpoints: Extent }
}

/** How a tunnel stands at this moment. */
export interface LiveTunnel {
  readonly presence: Presence
  /** In the esp suite. */
  readonly esp: EspFacts | undefined
}

/** What every administrator's operation works with: the same inside a running broker and without one. */
export interface Office {
  readonly dataDir: string
  readonly registry: Registry
  readonly authority: AuthorityFace
  readonly suite: Suite
  readonly clock: Clock
  readonly config: Config
  readonly version: string
  /** Who is in the audit log: `admin:root`. */
  readonly actor: string
  reach(): Promise<Reach>
  /** Of the running broker; undefined where none runs. */
  liveStatus(): Record<string, unknown> | undefined
  /** A principal's tunnel as the running broker sees it: undefined where none runs. */
  liveTunnel(principal: Principal): LiveTunnel | undefined
}
