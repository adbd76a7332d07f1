import { type Duration, days, milliseconds, seconds } from '#shared/time/instant.ts'
import { questionEvery, questionLength } from './keepalive.ts'

/** Headers below a datagram's first octet: IPv4 or IPv6 without options, and UDP. Octets. */
const HEADERS = { v4: 28, v6: 48 } as const
/** A binding answer with XOR-MAPPED-ADDRESS alone. Octets. */
const ANSWER = { v4: 32, v6: 44 } as const
/** The interval beyond which nobody gains anything unless a budget says otherwise: about a megabyte a month (DESIGN D7). */
const ENOUGH = seconds(110)
/** Part of a budget that handshakes, probes of the network and the configuration's reading take. */
const OTHER = 0.02
const MONTH = days(30)

export const dataModes = ['normal', 'metered', 'on-demand'] as const
/**
 * `normal`: reachable at once, about a megabyte a month; `metered`: likewise, at the longest interval that the network bears, and with
 * less of everything else; `on-demand`: the tunnel sleeps, and asks now and then whether somebody wants it.
 */
export type DataMode = (typeof dataModes)[number]

export type Family = 'v4' | 'v6'

/** Octets of a datagram of this length at the interface. */
export const outerOctets = (length: number, family: Family): number => length + HEADERS[family]

/** What holding a mapping costs in 30 days, both ways, octets at the interface: FF, and a question with its answer now and then. */
export function monthlyOctets(interval: Duration, family: Family): number {
  const round = questionEvery(interval)
  const question = outerOctets(questionLength[family], family) + outerOctets(ANSWER[family], family)
  return (MONTH / interval) * (((round - 1) * outerOctets(1, family) + question) / round)
}

/** What polling costs in 30 days: a question with its answer each time. Octets. */
export const monthlyPollOctets = (poll: Duration, family: Family): number =>
  (MONTH / poll) * (outerOctets(questionLength[family], family) + outerOctets(ANSWER[family], family))

/** The shortest interval that a budget of so many megabytes (10^6 octets) a month pays for. */
export function affordableInterval(megabytes: number, family: Family): Duration {
  const budget = megabytes * 1e6 * (1 - OTHER)
  // Where every sixth is a question, the cost goes with the rate; a short interval with its eighth is cheaper than that.
  const rare = milliseconds((monthlyOctets(ENOUGH, family) * ENOUGH) / budget)
  const short = seconds(1)
  const often = milliseconds((monthlyOctets(short, family) * short) / budget)
  return questionEvery(often) === questionEvery(short) ? often : rare
}

/** The longest interval that is of use; undefined: the longer the better. */
export function intervalEnough(mode: DataMode, megabytes: number | undefined, family: Family): Duration | undefined {
  if (megabytes !== undefined) return milliseconds(Math.max(ENOUGH, affordableInterval(megabytes, family)))
  return mode === 'normal' ? ENOUGH : undefined
}
