import type { Host } from '#test/lab/namespaces.ts'
import { Program } from '#test/lab/program.ts'
import type { Ends, UdpRun } from './iperf.ts'

const port = 5_301

/** Datagrams in batches from a to b: `payload` bytes each, so many a second (Infinity: as many as can be sent), for so many seconds. */
export async function datagrams(
  program: string,
  ends: Ends,
  seconds: number,
  payload: number,
  packetsPerSecond: number,
): Promise<UdpRun & { readonly received: number }> {
  const { a, b, innerB, stop } = ends
  const rate = packetsPerSecond === Number.POSITIVE_INFINITY ? 0 : Math.round(packetsPerSecond)
  const receiver = child(b, program, 'receive', innerB, port)
  try {
    await receiver.event(({ event }) => event === 'ready')
    const sender = child(a, program, 'send', innerB, port, payload, rate, seconds)
    try {
      const limit = (seconds + 20) * 1_000
      const { sent } = (await sender.event((said) => 'sent' in said, limit)) as { sent: number }
      const said = (await receiver.event((line) => 'received' in line, limit)) as { received: number; seconds: number }
      stop.throwIfAborted()
      return { delivered: said.received / said.seconds, lost: 1 - said.received / sent, received: said.received }
    } finally {
      await sender.stop()
    }
  } finally {
    await receiver.stop('SIGKILL')
  }
}

function child({ prefix }: Host, program: string, ...words: readonly (string | number)[]): Program {
  const [command, ...more] = prefix
  return Program.command(command!, [...more, process.execPath, program, ...words.map(String)])
}
