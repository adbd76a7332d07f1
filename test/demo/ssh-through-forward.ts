import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import ssh2 from 'ssh2'
import { Program } from '#test/lab/program.ts'

export interface SshThroughForward {
  device: string
  user: string
  privateKey: string
  command: string
  env: Readonly<Record<string, string>>
  patience: number
}

/** Runs one command over SSH on a machine that has no OpenSSH: `adit forward` to the device's port 22, and a client of our own. */
export async function sshThroughForward({
  device,
  user,
  privateKey,
  command,
  env,
  patience,
}: SshThroughForward): Promise<string> {
  const port = await freePort()
  const forward = Program.start('adit', ['forward', device, '-L', `127.0.0.1:${port}:localhost:22`, '--json'], { env })
  const client = new ssh2.Client()
  try {
    await forward.event(({ event }) => event === 'listening', patience)
    client.connect({ host: '127.0.0.1', port, username: user, privateKey })
    await once(client, 'ready')
    const channel = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
      client.exec(command, (error, opened) => (error ? reject(error) : resolve(opened))),
    )
    let said = ''
    channel.on('data', (bytes: Buffer) => {
      said += bytes
    })
    await new Promise((resolve) => channel.once('close', resolve))
    return said
  } finally {
    client.end()
    await forward.stop()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
