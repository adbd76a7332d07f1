import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import test from 'node:test'
import ssh2 from 'ssh2'
import { LoginShell } from '#sim/login-shell.ts'
import { newSshKeyPair } from '#sim/ssh-key-pair.ts'

const user = newSshKeyPair()
const other = newSshKeyPair()

async function withShell(run: (port: number) => Promise<void>): Promise<void> {
  const shell = new LoginShell({
    hostName: 'pi-7',
    authorizedKeys: [user.public],
    uptimeSeconds: () => 12.7,
    readings: () => [{ name: 'flow', value: 83.1, unit: 'l/min' }],
  })
  const server = net.createServer((socket) => shell.accept(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await run((server.address() as net.AddressInfo).port)
  } finally {
    shell.close()
    server.close()
  }
}

async function execute(port: number, command: string): Promise<{ output: string; status: number }> {
  const client = new ssh2.Client()
  client.connect({ host: '127.0.0.1', port, username: 'pi', privateKey: user.private })
  await once(client, 'ready')
  let output = ''
  // All may come in one piece: who listens only after the opening has been told may have missed the end.
  const status = await new Promise<number>((resolve, reject) =>
    client.exec(command, (error, channel) => {
      if (error) return void reject(error)
      let code = Number.NaN
      channel.on('data', (bytes: Buffer) => {
        output += bytes
      })
      channel.once('exit', (exit: number) => {
        code = exit
      })
      channel.once('close', () => resolve(code))
    }),
  )
  client.end()
  return { output, status }
}

test('an authorised key runs commands and gets their exit status', () =>
  withShell(async (port) => {
    assert.deepEqual(await execute(port, 'hostname'), { output: 'pi-7\n', status: 0 })
    assert.deepEqual(await execute(port, 'sensors'), { output: 'flow 83.1 l/min\n', status: 0 })
    assert.equal((await execute(port, 'false')).status, 1)
    assert.equal((await execute(port, 'rm -rf /')).status, 127)
  }))

test('any other key is refused', () =>
  withShell(async (port) => {
    const client = new ssh2.Client()
    client.connect({ host: '127.0.0.1', port, username: 'pi', privateKey: other.private })
    const [error] = await once(client, 'error')
    assert.match(String(error), /authentication/i)
  }))
