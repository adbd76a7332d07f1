/** A port, or a range of ports with both ends in it. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

/**
 * Who may reach what. Operators: any of `operators` or members of `groups` × any device with one of `tags` or named in `devices`, and
 * any host behind a device named in `to` × `ports`. Sites: any device named in `from`, with the hosts behind it × any host behind a
 * device named in `to` × `ports`.
 */
export interface NewGrant {
  readonly operators: readonly string[]
  readonly groups: readonly string[]
  readonly tags: readonly string[]
  readonly devices: readonly string[]
  /** Names of devices: they and what lies in their subnets may begin flows. */
  readonly from?: readonly string[]
  /** Names of devices: what lies in their subnets may be reached; the devices themselves not by this. */
  readonly to?: readonly string[]
  readonly ports: readonly PortRange[]
  /** Wall-clock ms; for ever where undefined. */
  readonly until?: number
}

export interface Grant extends NewGrant {
  readonly from: readonly string[]
  readonly to: readonly string[]
  readonly id: number
  readonly createdAt: number
  readonly revokedAt?: number
}
