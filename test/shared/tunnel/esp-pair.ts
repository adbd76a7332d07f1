import { nativeSuite } from '#shared/crypto/native.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import type { ChildSaKeys, EspAlgorithms } from '#shared/ikev2/ike-output.ts'
import type { Lifetime } from '#shared/ikev2/peer-policy.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { instant } from '#shared/time/instant.ts'
import { EspSession } from '#shared/tunnel/esp-session.ts'
import { Encryption } from '#shared/wire/ike-numbers.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { parseCidr } from '#shared/wire/ip-address.ts'

export const selector = (cidr: string): TrafficSelector => fromCidr(parseCidr(cidr))

export const aes256gcm: EspAlgorithms = { encryption: Encryption.AesGcm16, keyLength: 256, integrity: 0 }

interface PairOptions {
  readonly esn?: boolean
  readonly lifetime?: Partial<Lifetime>
  readonly algorithms?: EspAlgorithms
  readonly keyBytes?: number
}

/** Both ends of one Child SA. */
export function espPair({ esn = true, lifetime, algorithms = aes256gcm, keyBytes = 36 }: PairOptions = {}) {
  const direction = (spi: number) => ({ spi, encryption: nativeSuite.random(keyBytes), integrity: new Uint8Array(0) })
  const [ab, ba] = [direction(0x8000_0002), direction(0x8000_0001)]
  const keys = (own: boolean): ChildSaKeys => ({
    inbound: own ? ba : ab,
    outbound: own ? ab : ba,
    algorithms,
    esn,
    localSelectors: [selector('0.0.0.0/0'), selector('::/0')],
    remoteSelectors: [selector('0.0.0.0/0'), selector('::/0')],
    tfcRefused: false,
  })
  const limits = { ...defaultChildLifetime, ...lifetime }
  const make = (own: boolean): EspSession => new EspSession(nativeSuite, undefined, keys(own), limits, () => 0, instant(0))
  return { a: make(true), b: make(false) }
}

/** Seals one packet in fresh memory; throws where that is refused. */
export function sealed(session: EspSession, payload: Uint8Array, nextHeader = 4): Uint8Array {
  const out = new Uint8Array(session.sealedLength(payload.length))
  const size = session.seal(payload, payload.length, payload.length, nextHeader, out)
  if (size < 0) throw new Error(`refused: ${size}`)
  return out.subarray(0, size)
}

/** The verdict of opening one datagram. */
export const opened = (session: EspSession, datagram: Uint8Array): number =>
  session.open(datagram, new Uint8Array(datagram.length))
