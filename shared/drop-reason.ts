/**
 * Why a datagram or packet went no further. A stranger's bytes never throw on the data lane: a function there returns a
 * length (>= 0) or one of these as a negative number, and the caller counts it.
 */
export const DropReason = {
  Malformed: -1,
  UnknownKind: -2,
  UnknownReceiver: -3,
  Replayed: -4,
  Unauthentic: -5,
  NoSession: -6,
  SessionExpired: -7,
  InnerMalformed: -8,
  InnerSourceRefused: -9,
  NoRoute: -10,
  FilterRefused: -11,
  InnerTooBig: -12,
  HopLimitExceeded: -13,
  UnknownPeer: -14,
  BadMac1: -15,
  StaleTimestamp: -16,
  RateLimited: -17,
  UnderLoad: -18,
  LowOrderPoint: -19,
  BadCookie: -20,
  QueueFull: -21,
  NotForUs: -22,
  SendFailed: -23,
  SelfConnection: -24,
  AmplificationLimit: -25,
  SelectorRefused: -26,
  /** Not lost: the data lane that holds the session has it. */
  HeldByLane: -27,
  /** Handling it threw, as nothing from the network may make us. */
  Defect: -28,
} as const

export type DropReason = (typeof DropReason)[keyof typeof DropReason]

const names = Object.entries(DropReason)
const labels: readonly string[] = names.map(([name]) =>
  name.replace(/[A-Z]/g, (c, at: number) => (at ? '-' : '') + c.toLowerCase()),
)

/** Counts of drops by reason; incrementing makes no object. */
export class DropCounters {
  readonly #counts = new Float64Array(names.length + 1)

  count(reason: number): void {
    this.#counts[-reason] = (this.#counts[-reason] ?? 0) + 1
  }

  of(reason: DropReason): number {
    return this.#counts[-reason] ?? 0
  }

  /** Label and count of each reason, zeros included, in the order above. */
  entries(): Iterable<[label: string, count: number]> {
    return dropEntries((reason) => this.of(reason))
  }
}

/** Label and count of each reason, in the order above, of whoever counts them. */
export function* dropEntries(of: (reason: DropReason) => number): Iterable<[label: string, count: number]> {
  for (const [i, [, reason]] of names.entries()) yield [labels[i]!, of(reason)]
}
