/** The fleet's own numbers, made at first run and never changed. */
export interface Fleet {
  /** "fdxx:xxxx:xxxx::/48". */
  readonly prefix: string
  /** The broker's inner addresses: prefix::1, and 100.64.0.1 unless the underlay overlaps it. */
  readonly broker: readonly string[]
  /** What an agent routes into the tunnel: the prefix, and 100.64.0.0/10 where IPv4 is in use. */
  readonly routes: readonly string[]
}
