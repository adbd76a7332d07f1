import { join } from 'node:path'
import type { Suite } from '#shared/crypto/suite.ts'
import { encodeClaim } from '#shared/enrolment/claim.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { readSecret, writeDurably } from '#shared/platform/files.ts'
import { type Clock, type Duration, type WallTime, wallTime } from '#shared/time/instant.ts'

/**
 * What boards of a line show to their station: the same for all of them, as it lies in their image, and so worth little by itself. It is taken
 * on the LAN alone, until its end, for serial numbers that the line expects, and for so many of them.
 */
export interface LineToken {
  /** 8 bytes; public: it is how boards tell the stations of a LAN apart. */
  readonly id: Uint8Array
  /** 16 bytes, secret. */
  readonly secret: Uint8Array
  readonly until: WallTime
  /** Boards at most. */
  readonly quota: number
}

export interface LineTokenWish {
  readonly ttl: Duration
  readonly quota: number
}

const fileName = 'line.json'

/** The token of STATE/line.json while it lasts, else a new one there: an image that is made in the morning serves all day. */
export async function lineTokenIn(
  state: string,
  wish: LineTokenWish,
  suite: Suite,
  clock: Pick<Clock, 'wall'>,
): Promise<LineToken> {
  const path = join(state, fileName)
  const there = parse(await readSecret(path))
  if (there !== undefined && there.until > clock.wall()) return there
  const token = newLineToken(wish, suite, clock)
  const { id, secret, until, quota } = token
  await writeDurably(path, `${JSON.stringify({ id: hex(id), secret: hex(secret), until, quota })}\n`)
  return token
}

export const newLineToken = ({ ttl, quota }: LineTokenWish, suite: Suite, clock: Pick<Clock, 'wall'>): LineToken => ({
  id: suite.random(8),
  secret: suite.random(16),
  until: wallTime(clock.wall() + ttl),
  quota,
})

/** As a board takes it: a claim whose API is the station. `host`: an address of the station, or its name under `.local`, which mDNS finds. */
export function encodeLineToken(
  { id, secret }: LineToken,
  { host, port, rootPem, addresses }: { host: string; port: number; rootPem: string; addresses?: readonly string[] },
  suite: Suite,
): string {
  const ca = suite.hash('sha256', decodePem('CERTIFICATE', rootPem)[0]!)
  const at = host.includes(':') ? `[${host}]` : host
  return encodeClaim({ api: [`https://${at}:${port}`], ca, id, secret, role: 'device', ...(addresses && { addresses }) }, suite)
}

/** Undefined for a file that is not there or not whole: the token is made anew, and images with the old one are not served. */
function parse(bytes: Uint8Array | undefined): LineToken | undefined {
  try {
    const { id, secret, until, quota } = JSON.parse(Buffer.from(bytes ?? []).toString('utf8')) as Record<string, unknown>
    if (!/^[0-9a-f]{16}$/.test(String(id)) || !/^[0-9a-f]{32}$/.test(String(secret))) return undefined
    if (typeof until !== 'number' || typeof quota !== 'number') return undefined
    const bytesOf = (text: unknown): Uint8Array => new Uint8Array(Buffer.from(String(text), 'hex'))
    return { id: bytesOf(id), secret: bytesOf(secret), until: wallTime(until), quota }
  } catch {
    return undefined
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
