import crypto from 'node:crypto'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import type { ChildSaKeys, EspAlgorithms } from '#shared/ikev2/ike-output.ts'
import { instant } from '#shared/time/instant.ts'
import { EspSession } from '#shared/tunnel/esp-session.ts'
import { EspNextHeader } from '#shared/wire/esp.ts'
import { Encryption, Integrity } from '#shared/wire/ike-numbers.ts'
import { providers } from './providers.ts'
import type { BenchRow } from './row.ts'

export const name = 'esp-seal'

const length = 1400
const packets = 2000
const rounds = 15

interface Algorithm {
  readonly title: string
  readonly algorithms: EspAlgorithms
  /** Bytes of key material. */
  readonly encryption: number
  readonly integrity: number
  /** What node:crypto alone costs for the same bytes, in the same round. */
  bare?(): () => void
}

const none = Integrity.None
const table: readonly Algorithm[] = [
  {
    title: 'AES-256-GCM-16',
    algorithms: { encryption: Encryption.AesGcm16, keyLength: 256, integrity: none },
    encryption: 36,
    integrity: 0,
    bare: () => bareAead('aes-256-gcm', 32),
  },
  {
    title: 'AES-128-GCM-16',
    algorithms: { encryption: Encryption.AesGcm16, keyLength: 128, integrity: none },
    encryption: 20,
    integrity: 0,
    bare: () => bareAead('aes-128-gcm', 16),
  },
  {
    title: 'ChaCha20-Poly1305',
    algorithms: { encryption: Encryption.ChaCha20Poly1305, keyLength: undefined, integrity: none },
    encryption: 36,
    integrity: 0,
    bare: () => bareAead('chacha20-poly1305', 32),
  },
  {
    title: 'AES-256-CBC with HMAC-SHA2-256',
    algorithms: { encryption: Encryption.AesCbc, keyLength: 256, integrity: Integrity.HmacSha256_128 },
    encryption: 32,
    integrity: 32,
  },
  {
    title: 'AES-256-GMAC',
    algorithms: { encryption: Encryption.NullAuthAesGmac, keyLength: 256, integrity: none },
    encryption: 36,
    integrity: 0,
  },
]

/** One direction of one Child SA; microseconds of CPU a packet, median of rounds. The bars are those of AES-256-GCM, the usual cipher. */
export async function run(): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  const each = (await providers()).flatMap((suite) => table.map((row) => ({ suite, ...row })))
  for (const { suite, title, algorithms, encryption, integrity, bare } of each) {
    const session = sessionOf(suite, algorithms, encryption, integrity)
    const work = bare?.()
    const inner = nativeSuite.random(length)
    const sealed = Array.from({ length: packets }, () => new Uint8Array(length + 128))
    const out = new Uint8Array(length + 128)
    const size = session.sealedLength(length)
    const seals: number[] = []
    const opens: number[] = []
    const bares: number[] = []
    for (let round = 0; round < rounds; round++) {
      seals.push(
        microseconds(() => sealed.forEach((datagram) => void session.seal(inner, length, length, EspNextHeader.Ipv4, datagram))),
      )
      const views = sealed.map((datagram) => datagram.subarray(0, size))
      opens.push(
        microseconds(() =>
          views.forEach((datagram) => {
            if (session.open(datagram, out) < length) throw new Error('a packet did not open')
          }),
        ),
      )
      if (work) bares.push(microseconds(() => sealed.forEach(work)))
    }
    const beside = work && `node:crypto alone seals in ${median(bares).toPrecision(3)} us`
    const row = { unit: 'us', bar: '<= 8', ...(beside && { beside }) }
    rows.push({ figure: `ESP seal of 1400 B, ${title}, ${suite.name}`, value: median(seals), ...row })
    rows.push({ figure: `ESP open of 1400 B, ${title}, ${suite.name}`, value: median(opens), ...row })
  }
  return rows
}

/** A Child SA whose two directions are the same, so that it opens what it seals. */
function sessionOf(suite: Suite, algorithms: EspAlgorithms, encryption: number, integrity: number): EspSession {
  const direction = { spi: 0x8000_0001, encryption: nativeSuite.random(encryption), integrity: nativeSuite.random(integrity) }
  const keys: ChildSaKeys = {
    inbound: direction,
    outbound: direction,
    algorithms,
    esn: true,
    localSelectors: [],
    remoteSelectors: [],
    tfcRefused: false,
  }
  return new EspSession(suite, undefined, keys, defaultChildLifetime, () => 0, instant(0))
}

function bareAead(cipher: 'aes-256-gcm' | 'aes-128-gcm' | 'chacha20-poly1305', keyLength: number): () => void {
  const key = nativeSuite.random(keyLength)
  const nonce = nativeSuite.random(12)
  const aad = nativeSuite.random(8)
  const input = nativeSuite.random(length + 2)
  return () => {
    const sealing = crypto.createCipheriv(cipher as 'chacha20-poly1305', key, nonce, { authTagLength: 16 })
    sealing.setAAD(aad, undefined as never)
    sealing.update(input)
    sealing.final()
    sealing.getAuthTag()
  }
}

function microseconds(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / packets
}

/** The first rounds compile; they are left out. */
const median = (values: readonly number[]): number => values.slice(5).sort((a, b) => a - b)[(values.length - 5) >> 1]!
