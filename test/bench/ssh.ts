import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import ssh2 from 'ssh2'
import { LoginShell } from '#sim/login-shell.ts'
import { newSshKeyPair } from '#sim/ssh-key-pair.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { startSmallFleet } from '#test/bench/small-fleet.ts'
import { Program } from '#test/lab/program.ts'

export const name = 'keystrokes of an SSH session, through the broker and direct'

const keystrokes = 500
const port = 7022

export async function run(): Promise<BenchRow[]> {
  const user = newSshKeyPair()
  const shell = new LoginShell({ hostName: 'bench', authorizedKeys: [user.public], uptimeSeconds: () => 0, readings: () => [] })
  const server = createServer({ noDelay: true }, (socket) => shell.accept(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const direct = (server.address() as AddressInfo).port

  const fleet = await startSmallFleet([`shell:${port}=127.0.0.1:${direct}`], [port])
  const words = ['forward', fleet.device, '-L', `127.0.0.1:0:localhost:${port}`, '--json']
  const forward = Program.start('adit', words, { env: fleet.env, bundle: true })
  try {
    const { listen } = await forward.event(({ event }) => event === 'listening', 30_000)
    const near = await echoes(direct, user.private)
    const far = await echoes(Number(String(listen).split(':').at(-1)), user.private)
    const at = (times: readonly number[], share: number): number => times[Math.floor(times.length * share)]!
    return [
      {
        figure: 'SSH keystroke to echo through the broker, over direct, p50',
        value: at(far, 0.5) - at(near, 0.5),
        unit: 'ms',
        bar: '<= 3 ms',
        beside: `direct ${at(near, 0.5).toFixed(2)} ms; p99 ${at(far, 0.99).toFixed(2)} against ${at(near, 0.99).toFixed(2)} ms`,
      },
    ]
  } finally {
    await forward.stop()
    await fleet.close()
    shell.close()
    server.close()
  }
}

/** How long each keystroke of a shell took to come back, ms, sorted. */
async function echoes(at: number, privateKey: string): Promise<number[]> {
  const client = new ssh2.Client()
  client.connect({ host: '127.0.0.1', port: at, username: 'pi', privateKey })
  await once(client, 'ready')
  const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
    client.shell((error, opened) => (error ? reject(error) : resolve(opened))),
  )
  await once(channel, 'data')
  const times: number[] = []
  for (let i = 0; i < keystrokes; i++) {
    const from = performance.now()
    channel.write('x')
    await once(channel, 'data')
    times.push(performance.now() - from)
  }
  client.end()
  return times.sort((a, b) => a - b)
}
