import { execFile } from 'node:child_process'
import type { TestContext } from 'node:test'
import type { Host } from '#test/lab/namespaces.ts'
import { Daemon } from './daemon.ts'
import { Ending } from './ending.ts'

/** Which way the data goes. a always opens the connection. */
export type Direction = 'a-to-b' | 'b-to-a'

export interface Ends {
  readonly a: Host
  readonly b: Host
  /** b's address inside the tunnel. */
  readonly innerB: string
  /** Ends whatever runs at once. */
  readonly stop: AbortSignal
}

export interface TcpRun {
  readonly bitsPerSecond: number
  /** That arrived. */
  readonly bytes: number
}

/** Seconds over which it measured are iperf3's own. */
export async function tcp(ends: Ends, direction: Direction, seconds: number, streams: number): Promise<TcpRun> {
  const { sum_received: received } = await iperf(ends, direction, seconds, '-P', String(streams))
  return { bitsPerSecond: received.bits_per_second, bytes: received.bytes }
}

export interface UdpRun {
  /** Packets a second that arrived. */
  readonly delivered: number
  /** 0 to 1. */
  readonly lost: number
}

/**
 * Packets of `payload` bytes at `packetsPerSecond`, or (Infinity) as fast as iperf3 can. Where they drown iperf3's own connection beside them, so
 * that it cannot tell what arrived, none did.
 */
export async function udp(
  ends: Ends,
  direction: Direction,
  seconds: number,
  payload: number,
  packetsPerSecond: number,
): Promise<UdpRun> {
  const rate = packetsPerSecond === Number.POSITIVE_INFINITY ? 0 : Math.round(packetsPerSecond * payload * 8)
  // The receiver's buffer as large as the kernel lets it: what the tunnel loses is asked, not what iperf3 does.
  const words = ['-u', '-l', String(payload), '-b', String(rate), '-w', '4M', '--pacing-timer', '250']
  try {
    const { sum_sent: sent, sum_received: received } = await iperf(ends, direction, seconds, ...words)
    const arrived = received.bytes / payload
    return { delivered: arrived / received.seconds, lost: 1 - arrived / sent.packets }
  } catch (error) {
    if (!(error instanceof IperfSilence)) throw error
    return { delivered: 0, lost: 1 }
  }
}

/** iperf3 has said nothing that could be read. */
class IperfSilence extends Error {}

const port = 5201
/** Seconds that iperf3 may take beside those of the stream. */
const patience = 10

/** iperf3's server in b for one run, its client in a; returns the `end` of what the client says. */
async function iperf({ a, b, innerB, stop }: Ends, direction: Direction, seconds: number, ...words: string[]): Promise<IperfEnd> {
  const ending = new Ending()
  try {
    await server(ending, b, innerB)
    const where = ['-c', innerB, '-p', String(port), '--connect-timeout', '3000', '-t', String(seconds)]
    const way = direction === 'b-to-a' ? ['-R'] : []
    const said = await client(a, [...where, ...way, ...words, '-J'], { timeout: (seconds + patience) * 1_000, signal: stop })
    if (said.error !== undefined || said.end.sum_received === undefined)
      throw new IperfSilence(`iperf3: ${said.error ?? 'no sum'}`)
    return said.end as IperfEnd
  } finally {
    await ending.end()
  }
}

/** Bound to its address: an end that has several would answer UDP from another. */
async function server(t: Pick<TestContext, 'after'>, host: Host, address: string): Promise<void> {
  const daemon = Daemon.start(t, host, 'iperf3', '-s', '-1', '-B', address, '-p', String(port), '--forceflush')
  await daemon.says(/Server listening/)
}

function client(host: Host, words: readonly string[], limits: { timeout: number; signal: AbortSignal }): Promise<IperfSaid> {
  const [prefix, ...prefixWords] = host.prefix
  return new Promise((resolve, reject) => {
    const options = { ...limits, killSignal: 'SIGKILL', maxBuffer: 16 << 20 } as const
    execFile(prefix!, [...prefixWords, 'iperf3', ...words], options, (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout))
      } catch {
        limits.signal.aborted
          ? reject(limits.signal.reason)
          : reject(new IperfSilence(`iperf3 ${words.join(' ')}: ${error?.message ?? 'no JSON'}: ${stderr}${stdout.slice(-500)}`))
      }
    })
  })
}

interface IperfSum {
  bytes: number
  seconds: number
  bits_per_second: number
  /** UDP alone. */
  packets: number
}

interface IperfEnd {
  sum_sent: IperfSum
  sum_received: IperfSum
}

interface IperfSaid {
  end: Partial<IperfEnd>
  error?: string
}
