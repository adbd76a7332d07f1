import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { SuiteName } from '#shared/tunnel/association.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { startSmallFleet } from '#test/bench/small-fleet.ts'
import { Program } from '#test/lab/program.ts'

export const name = 'adit forward, bulk, loopback, operator - broker - device'

const bytes = 256 * 1024 * 1024
const piece = Buffer.alloc(64 * 1024, 0x5a)

/** Swallows what comes, or sends `bytes` when the first byte received is `s`. */
function startPeer(onReceived: (total: number) => void): Promise<Server> {
  const server = createServer((socket) => {
    let total = 0
    socket.on('error', () => socket.destroy())
    socket.once('data', (first) => {
      if (first[0] === 0x73) void pour(socket)
    })
    socket.on('data', (chunk) => {
      total += chunk.length
      if (total >= bytes) onReceived(total)
    })
  })
  server.listen(0, '127.0.0.1')
  return once(server, 'listening').then(() => server)
}

async function pour(socket: Socket): Promise<void> {
  for (let sent = 0; sent < bytes; sent += piece.length) if (!socket.write(piece)) await once(socket, 'drain')
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port
const megabitsPerSecond = (ms: number): number => (bytes * 8) / 1e6 / (ms / 1_000)

async function upload(port: number, received: Promise<void>): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const from = performance.now()
  await pour(socket)
  await received
  const ms = performance.now() - from
  socket.destroy()
  return megabitsPerSecond(ms)
}

async function download(port: number): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const from = performance.now()
  socket.write('s')
  let total = 0
  for await (const chunk of socket) {
    total += (chunk as Buffer).length
    if (total >= bytes) break
  }
  return megabitsPerSecond(performance.now() - from)
}

interface Rates {
  direct: number
  up: number
  down: number
}

export async function run(): Promise<BenchRow[]> {
  const noise = await measure('noise')
  const esp = await measure('esp')
  const bar = '>= 200 Mbit/s'
  const beside = `plain loopback ${Math.round(noise.direct)} Mbit/s`
  const part = (value: number, of: number): string => `${(value / of).toFixed(2)} of the noise suite's, bar 0.8`
  return [
    { figure: 'to the device, 256 MiB', value: noise.up, unit: 'Mbit/s', bar, beside },
    { figure: 'from the device, 256 MiB', value: noise.down, unit: 'Mbit/s', bar },
    { figure: 'to the device, 256 MiB, esp suite', value: esp.up, unit: 'Mbit/s', beside: part(esp.up, noise.up) },
    { figure: 'from the device, 256 MiB, esp suite', value: esp.down, unit: 'Mbit/s', beside: part(esp.down, noise.down) },
  ]
}

/** Operator and device in the same suite: the broker opens and seals each packet once. */
async function measure(suite: SuiteName): Promise<Rates> {
  let done: () => void = () => {}
  const receivedAll = (): Promise<void> => new Promise((resolve) => (done = resolve))
  const peer = await startPeer(() => done())
  const local = createServer().listen(0, '127.0.0.1')
  await once(local, 'listening')
  const port = portOf(local)
  local.close()

  const fleet = await startSmallFleet([`bulk:7001=127.0.0.1:${portOf(peer)}`], [7001], [], suite)
  const forward = Program.start('adit', ['forward', fleet.device, '-L', `127.0.0.1:${port}:localhost:7001`, '--json'], {
    env: fleet.env,
    bundle: true,
  })
  try {
    await forward.event(({ event }) => event === 'listening', 30_000)
    const direct = await upload(portOf(peer), receivedAll())
    const up = await upload(port, receivedAll())
    const down = await download(port)
    return { direct, up, down }
  } finally {
    await forward.stop()
    await fleet.close()
    peer.close()
  }
}
