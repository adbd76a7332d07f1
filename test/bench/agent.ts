import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import mqtt from 'mqtt'
import type { BenchRow } from '#test/bench/row.ts'
import { type SmallFleet, startSmallFleet } from '#test/bench/small-fleet.ts'
import { Program, run as runProgram } from '#test/lab/program.ts'

export const name = 'the agent of the bundle: start, and memory under telemetry and sessions'

/** The bar names an hour; ADIT_BENCH_MINUTES=60 takes it. */
const minutes = Number(process.env.ADIT_BENCH_MINUTES ?? 3)
/** Caches, pools and compiled code settle first; what grows afterwards is a leak. */
const warmUpMinutes = Math.min(10, minutes / 3)
const starts = 5
const readingsPerSecond = 10
const sessionEveryMs = 10_000
const sampleEveryMs = 1_000
const patience = 30_000

/** What a person's session carries: keystrokes one way, echoes the other, and one long listing. */
const session = { keystrokes: 200, keystrokeBytes: 64, echoBytes: 256, listingBytes: 1024 * 1024 } as const

interface Sample {
  readonly minute: number
  readonly kilobytes: number
}

export async function run(): Promise<BenchRow[]> {
  const shell = await startShell()
  const service = `shell:7022=127.0.0.1:${(shell.address() as AddressInfo).port}`
  const fleet = await startSmallFleet([service], [7022])
  try {
    await fleet.agent.stop()
    const start = (): Program => startAgent(fleet, service)
    const times: number[] = []
    for (let i = 0; i < starts; i++) times.push(await timeToUp(start))
    const { samples, sessions, published } = await load(fleet, start)
    const settled = samples.filter(({ minute }) => minute >= warmUpMinutes)
    const { slope, error } = line(settled)
    times.sort((a, b) => a - b)
    return [
      {
        figure: 'adit-agent of the bundle, from process start to tunnel up, median',
        value: times[starts >> 1]! / 1000,
        unit: 's',
        bar: '<= 1.5 s',
        beside: `slowest of ${starts}: ${(times.at(-1)! / 1000).toFixed(2)} s`,
      },
      {
        figure: `its resident memory after ${minutes} minutes, largest of the last one`,
        value: Math.max(...samples.slice(-60).map(({ kilobytes }) => kilobytes)) / 1024,
        unit: 'MiB',
        bar: '<= 80 MB (76.3 MiB)',
        beside: `${published} readings, ${sessions} sessions`,
      },
      {
        figure: `its slope after ${warmUpMinutes.toPrecision(2)} minutes of warm-up, least squares`,
        value: slope,
        unit: 'KiB/min',
        bar: '0',
        beside: `± ${(2 * error).toPrecision(2)}`,
      },
    ]
  } finally {
    await fleet.close()
    shell.close()
  }
}

function startAgent(fleet: SmallFleet, service: string): Program {
  const words = ['run', '--state', join(fleet.folder, 'agent'), '--service', service, '--mqtt', '127.0.0.1:0', '--json']
  // A machine that names further roots there makes each Node parse them at its start, used or not: no device does.
  return Program.start('adit-agent', words, { bundle: true, env: { NODE_EXTRA_CA_CERTS: '' } })
}

async function timeToUp(start: () => Program): Promise<number> {
  const from = performance.now()
  const agent = start()
  await agent.event(({ event }) => event === 'up', patience)
  const ms = performance.now() - from
  await agent.stop()
  return ms
}

/** Readings and sessions for the whole time, and the agent's memory each second. */
async function load(
  fleet: SmallFleet,
  start: () => Program,
): Promise<{ samples: Sample[]; sessions: number; published: number }> {
  const agent = start()
  await agent.event(({ event }) => event === 'up', patience)
  const port = await freePort()
  const words = ['forward', fleet.device, '-L', `127.0.0.1:${port}:localhost:7022`, '--json']
  const forward = Program.start('adit', words, { env: fleet.env, bundle: true })
  await forward.event(({ event }) => event === 'listening', patience)
  const sensor = await mqtt.connectAsync({ host: '127.0.0.1', port: await readingsPort(fleet), protocolVersion: 4 })
  const counts = { sessions: 0, published: 0 }
  const from = performance.now()
  const publishing = setInterval(() => {
    const reading = JSON.stringify({ value: Math.sin(counts.published / 100), unit: 'bar' })
    sensor.publish('sensors/pressure', reading, { qos: 1 }, (error) => {
      if (!error) counts.published += 1
    })
  }, 1000 / readingsPerSecond)
  const failures: unknown[] = []
  const visiting = setInterval(() => {
    visit(port).then(
      () => (counts.sessions += 1),
      (error) => failures.push(error),
    )
  }, sessionEveryMs)
  const samples: Sample[] = []
  try {
    for (;;) {
      const minute = (performance.now() - from) / 60_000
      samples.push({ minute, kilobytes: residentKilobytes(agent.pid) })
      if (minute >= minutes) break
      await new Promise((resolve) => setTimeout(resolve, sampleEveryMs))
    }
    if (failures.length > 0) throw new Error(`${failures.length} sessions failed, the first: ${failures[0]}`)
    return { samples, ...counts }
  } finally {
    clearInterval(publishing)
    clearInterval(visiting)
    await sensor.endAsync(true)
    await forward.stop()
    await agent.stop()
  }
}

/** VmRSS of proc(5). */
const residentKilobytes = (pid: number): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? Number.NaN)

async function readingsPort(fleet: SmallFleet): Promise<number> {
  const { stdout } = await runProgram('adit-agent', ['status', '--state', join(fleet.folder, 'agent'), '--json'], {
    bundle: true,
  })
  return Number(JSON.parse(stdout).readings.listen.split(':').at(-1))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Echoes each keystroke as a screenful, and answers the word `listing` with a long one, whose end is the session's. */
function startShell(): Promise<Server> {
  const echo = Buffer.alloc(session.echoBytes, 0x2e)
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => {
      if (chunk.includes('listing')) socket.end(Buffer.alloc(session.listingBytes, 0x6c))
      else socket.write(echo)
    })
  }).listen(0, '127.0.0.1')
  return once(server, 'listening').then(() => server)
}

async function visit(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const keystroke = Buffer.alloc(session.keystrokeBytes, 0x6b)
  for (let i = 0; i < session.keystrokes; i++) {
    socket.write(keystroke)
    await once(socket, 'data')
  }
  socket.write('listing')
  let received = 0
  for await (const chunk of socket) received += (chunk as Buffer).length
  if (received < session.listingBytes) throw new Error(`a listing of ${received} bytes`)
}

/** Least squares: growth in KiB a minute, with its standard error. */
function line(samples: readonly Sample[]): { slope: number; error: number } {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(samples.map(({ minute }) => minute)), mean(samples.map(({ kilobytes }) => kilobytes))]
  const spread = samples.reduce((sum, { minute }) => sum + (minute - x) ** 2, 0)
  const slope = samples.reduce((sum, { minute, kilobytes }) => sum + (minute - x) * (kilobytes - y), 0) / spread
  const rest = samples.reduce((sum, { minute, kilobytes }) => sum + (kilobytes - y - slope * (minute - x)) ** 2, 0)
  return { slope, error: Math.sqrt(rest / Math.max(1, samples.length - 2) / spread) }
}
