import { execFile } from 'node:child_process'
import type { Host } from '#test/lab/namespaces.ts'
import { quantile } from './statistics.ts'

export interface RoundTrips {
  /** Of those that were answered, milliseconds. */
  readonly p50: number
  readonly p99: number
  /** 0 to 1. */
  readonly lost: number
}

const perSecond = 100

/** ping for so many seconds, a request every 10 ms, 56 bytes. */
export function roundTrips(host: Host, address: string, seconds: number, signal: AbortSignal): Promise<RoundTrips> {
  const [prefix, ...prefixWords] = host.prefix
  const count = Math.round(seconds * perSecond)
  const words = ['ping', '-n', '-i', String(1 / perSecond), '-c', String(count), '-W', '1', address]
  return new Promise((resolve, reject) => {
    const options = { timeout: (seconds + 20) * 1_000, signal, maxBuffer: 16 << 20 }
    execFile(prefix!, [...prefixWords, ...words], options, (_error, said, stderr) => {
      const sent = Number(/(\d+) packets transmitted/.exec(said)?.[1] ?? Number.NaN)
      if (Number.isNaN(sent)) reject(new Error(`ping ${address}: ${stderr}${said.slice(-500)}`))
      else resolve(summary(answers(said), sent))
    })
  })
}

/** Milliseconds of each answer in what ping(8) says, in its order. Of an answer that came twice only the first counts. */
export const answers = (said: string): number[] =>
  said
    .split('\n')
    .filter((line) => !line.includes('DUP!'))
    .map((line) => Number(/ time=([\d.]+) ms/.exec(line)?.[1] ?? Number.NaN))
    .filter((time) => !Number.isNaN(time))

export const summary = (times: readonly number[], sent: number): RoundTrips => ({
  p50: quantile(times, 0.5),
  p99: quantile(times, 0.99),
  lost: Math.max(0, 1 - times.length / sent),
})
