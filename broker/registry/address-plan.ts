import type { Kysely } from 'kysely'
import { toHex } from '#shared/bytes/hex.ts'
import { AditError } from '#shared/errors.ts'
import { FixedQuery } from '#shared/platform/fixed-query.ts'
import { type Cidr, contains, formatAddress, parseAddress, parseCidr } from '#shared/wire/ip-address.ts'
import type { Fleet } from './fleet.ts'
import type { Tables } from './schema.ts'
import type { WriteTransaction } from './store-context.ts'

/** The shared address space of RFC 6598 as the fleet's inner IPv4: 4,194,304 addresses. */
const pool = { first: ipv4Number('100.64.0.0'), last: ipv4Number('100.127.255.255'), cidr: '100.64.0.0/10' } as const
const brokerV4 = ipv4Number('100.64.0.1')

/** Bytes of the prefix, and of the part that a key's hash fills. */
const prefixBytes = 6
const hashBytes = 10

const neighbours = new FixedQuery((db: Kysely<Tables>, { inner6 }: { inner6: string }) =>
  db.selectNoFrom(({ selectFrom }) => [
    selectFrom('principals').select('id').where('inner6', '=', inner6).as('holder'),
    selectFrom('principals')
      .select(({ fn }) => fn.max('inner4').as('inner4'))
      .as('greatest'),
  ]),
)

/** Who gets which inner address (DESIGN §5). */
export class AddressPlan {
  readonly fleet: Fleet
  readonly #prefix: Uint8Array
  readonly #underlay: readonly Cidr[]
  readonly #hasV4: boolean

  /** `prefix`: the fleet's /48 as text. `underlay`: networks that this machine is on. */
  constructor(prefix: string, underlay: readonly string[]) {
    this.#prefix = parseCidr(prefix).address.subarray(0, prefixBytes)
    this.#underlay = underlay.map(parseCidr).filter((cidr) => cidr.address.length === 4)
    this.#hasV4 = !this.#overlaps(brokerV4)
    const v6 = formatAddress(Uint8Array.of(...this.#prefix, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1))
    this.fleet = {
      prefix,
      broker: this.#hasV4 ? [v6, ipv4Text(brokerV4)] : [v6],
      routes: this.#hasV4 ? [prefix, pool.cidr] : [prefix],
    }
  }

  /**
   * `inner6`: the /48 plus 80 bits of the key's hash: the first ten bytes, or, should those be taken, the next ones of the 32. `inner4`:
   * the lowest number above all that were ever allocated, or null where the pool is used up or lies under this machine's own network.
   */
  async allocate(transaction: WriteTransaction, keyHash: Uint8Array): Promise<{ inner6: string; inner4: number | null }> {
    for (let at = 0; at + hashBytes <= keyHash.length; at += 1) {
      const inner6 = formatAddress(Uint8Array.of(...this.#prefix, ...keyHash.subarray(at, at + hashBytes)))
      if (this.fleet.broker.includes(inner6)) continue
      const [found] = await neighbours.execute(transaction, { inner6 })
      const { holder = null, greatest = null } = found ?? {}
      if (holder === null) return { inner6, inner4: this.#nextV4(greatest ?? 0) }
    }
    // Twenty-three collisions of 80 bits each: somebody has found a way to choose hashes.
    const message = `No inner address is free for the key ${toHex(keyHash)}.`
    throw new AditError('request-refused', message, 'Make a new key and enrol again.')
  }

  #nextV4(greatest: number): number | null {
    if (!this.#hasV4) return null
    let next = Math.max(greatest, brokerV4) + 1
    for (;;) {
      const network = this.#underlay.find((cidr) => contains(cidr, ipv4Bytes(next)))
      if (!network) break
      next = lastOf(network) + 1
    }
    return next < pool.last ? next : null
  }

  #overlaps(number: number): boolean {
    return this.#underlay.some((cidr) => contains(cidr, ipv4Bytes(number)))
  }
}

/** A random /48 under fd00::/8 (RFC 4193 §3.2): 40 random bits. */
export function randomPrefix(random: (length: number) => Uint8Array): string {
  return `${formatAddress(Uint8Array.of(0xfd, ...random(5), ...new Uint8Array(10)))}/48`
}

export const ipv4Text = (number: number): string => formatAddress(ipv4Bytes(number))

function ipv4Bytes(number: number): Uint8Array {
  return Uint8Array.of(number >>> 24, (number >>> 16) & 0xff, (number >>> 8) & 0xff, number & 0xff)
}

function ipv4Number(text: string): number {
  return parseAddress(text).reduce((sum, byte) => sum * 256 + byte, 0)
}

function lastOf(cidr: Cidr): number {
  const size = 2 ** (32 - cidr.prefix)
  const address = cidr.address.reduce((sum, byte) => sum * 256 + byte, 0)
  return Math.floor(address / size) * size + size - 1
}
