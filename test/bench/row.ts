/** One measured figure. */
export interface BenchRow {
  /** What was measured: "noise handshakes as responder, one core". */
  figure: string
  value: number
  /** "us", "Mbit/s", "per second". */
  unit: string
  /** What issue or design asks for: "<= 8 us". */
  bar?: string
  /** The same figure of a peer or another provider in the same run. */
  beside?: string
}
