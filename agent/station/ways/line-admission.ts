import { equalConstantTime } from '#shared/bytes/equal.ts'
import type { Clock } from '#shared/time/instant.ts'
import { RecentFailures } from '#shared/time/recent-failures.ts'
import { contains, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import type { LineToken } from './line-token.ts'

/** Networks of people's own: of the LAN (RFC 1918, RFC 4193), of a cable between two machines (RFC 3927, RFC 4291), this machine. */
const lans = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '169.254.0.0/16',
  '127.0.0.0/8',
  'fc00::/7',
  'fe80::/10',
  '::1/128',
].map(parseCidr)

/** Addresses whose failures are remembered. */
const addressLimit = 1000

/** Why a board is not served: for the log. The board is told one sentence for all of them. */
export type LineRefusal = 'not-on-lan' | 'too-many-failures' | 'wrong-token' | 'token-over' | 'quota' | 'not-expected'

/** Whether `address` (as a socket tells it) is on a LAN. */
export function isLanAddress(address: string | undefined): boolean {
  const bare = (address ?? '').replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/, '')
  const bytes = tryParseAddress(bare)
  return bytes !== undefined && lans.some((lan) => contains(lan, bytes))
}

/** Who may enrol at the station's door with the token of the line: decided before anything of a request is read but its head. */
export class LineAdmission {
  readonly #token: LineToken
  readonly #clock: Clock
  readonly #served = new Set<string>()
  readonly #failures = new RecentFailures(addressLimit)

  constructor(token: LineToken, clock: Clock) {
    this.#token = token
    this.#clock = clock
  }

  /** `credentials`: id and secret as HTTP Basic brought them. Undefined where the board may go on. */
  refusal(address: string | undefined, credentials: { id: Uint8Array; secret: Uint8Array } | undefined): LineRefusal | undefined {
    if (!isLanAddress(address)) return 'not-on-lan'
    const from = address!
    if (this.#failures.isBlocked(from, this.#clock.now())) return 'too-many-failures'
    const { id, secret, until } = this.#token
    const right = credentials && equalConstantTime(credentials.id, id) && equalConstantTime(credentials.secret, secret)
    if (!right) {
      this.#failures.failed(from, this.#clock.now())
      return 'wrong-token'
    }
    return this.#clock.wall() > until ? 'token-over' : undefined
  }

  /** Counts a unit against the quota of the token, once. False where it is used up. */
  serve(serial: string): boolean {
    if (this.#served.has(serial)) return true
    if (this.#served.size >= this.#token.quota) return false
    this.#served.add(serial)
    return true
  }
}
