/** A port, or a range of ports with both ends in it. */
export interface PortRange {
  readonly from: number
  readonly to: number
}

/** Who may reach what: any of `operators` or members of `groups` × any device with one of `tags` or named in `devices` × `ports`. */
export interface NewGrant {
  readonly operators: readonly string[]
  readonly groups: readonly string[]
  readonly tags: readonly string[]
  readonly devices: readonly string[]
  readonly ports: readonly PortRange[]
  /** Wall-clock ms; for ever where undefined. */
  readonly until?: number
}

export interface Grant extends NewGrant {
  readonly id: number
  readonly createdAt: number
  readonly revokedAt?: number
}
