import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test, { after, before } from 'node:test'
import { promisify } from 'node:util'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { KERNEL, KernelNetstack, STACK, type TunFaults } from '#test/lab/kernel-netstack.ts'
import { seeded } from '#test/shared/netstack/virtual-net.ts'

const MEGABYTES = 100
const SIZE = MEGABYTES * 1_000_000
const child = join(import.meta.dirname, 'netstack-peer-child.ts')

const block = Buffer.alloc(1 << 20)
for (let i = 0; i < block.length; i++) block[i] = (i * 31 + (i >> 8) * 17) & 0xff

const expected = createHash('sha256')
for (let left = SIZE; left > 0; left -= block.length) expected.update(left >= block.length ? block : block.subarray(0, left))
const digest = expected.digest('hex')

let lab: KernelNetstack
let server: ChildProcess

before(async () => {
  lab = new KernelNetstack(seeded(2026))
  lab.stack.listen({ port: 9001, allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256')
    socket.on('data', (chunk) => hash.update(chunk))
    socket.on('end', () => socket.end(hash.digest('hex')))
    socket.on('error', () => socket.destroy())
  })
  lab.stack.listen({ port: 9002, allowHalfOpen: true }, (socket) => {
    socket.once('data', (line: Buffer) => send(socket, Number(line.toString())))
    socket.on('error', () => socket.destroy())
  })
  server = peer('server', '::')
  await once(createInterface(server.stdout!), 'line')
})

after(async () => {
  if (server !== undefined) {
    server.kill()
    await once(server, 'exit')
  }
  await lab?.close()
})

function peer(...args: string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', lab.namespace, process.execPath, '--import', 'tsx', child, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

function send(socket: TcpSocket, count: number): void {
  let left = count
  const more = (): void => {
    while (left > 0) {
      const chunk = left >= block.length ? block : block.subarray(0, left)
      left -= chunk.length
      if (!socket.write(chunk)) {
        socket.once('drain', more)
        return
      }
    }
    socket.end()
  }
  more()
}

/** Kernel as client. */
async function kernelClient(direction: 'upload' | 'download', address: string): Promise<string> {
  const process = peer('client', address, direction, String(SIZE))
  const [line] = (await once(createInterface(process.stdout!), 'line')) as [string]
  const answer = JSON.parse(line) as { digest?: string; error?: string }
  assert.equal(answer.error, undefined)
  return answer.digest ?? ''
}

/** Kernel as server. */
async function kernelServer(direction: 'upload' | 'download', address: string): Promise<string> {
  const socket = lab.stack.connect({ address, port: direction === 'upload' ? 9001 : 9002, allowHalfOpen: true })
  const hash = createHash('sha256')
  let answer = ''
  if (direction === 'upload') {
    send(socket, SIZE)
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
  } else {
    socket.write(String(SIZE))
    socket.on('data', (chunk: Buffer) => hash.update(chunk))
  }
  await once(socket, 'end')
  socket.end()
  return direction === 'upload' ? answer : hash.digest('hex')
}

const conditions: readonly [name: string, faults: TunFaults][] = [
  ['no loss', { loss: 0, reorder: 0 }],
  ['1 % loss', { loss: 0.01, reorder: 0 }],
  ['5 % loss', { loss: 0.05, reorder: 0 }],
  ['2 % reordered', { loss: 0, reorder: 0.02 }],
]

for (const [name, faults] of conditions) {
  for (const direction of ['download', 'upload'] as const) {
    for (const role of ['client', 'server'] as const) {
      const family = role === 'client' ? 'v6' : 'v4'
      test(`${MEGABYTES} MB ${direction}, kernel as ${role} over IP${family}, ${name}`, { timeout: 120_000 }, async (t) => {
        lab.faults = faults
        const started = performance.now()
        const got =
          role === 'client' ? await kernelClient(direction, STACK[family]) : await kernelServer(direction, KERNEL[family])
        const seconds = (performance.now() - started) / 1000
        lab.faults = { loss: 0, reorder: 0 }
        t.diagnostic(`${((SIZE * 8) / 1e6 / seconds).toFixed(0)} Mbit/s (${seconds.toFixed(1)} s)`)
        assert.equal(got, digest)
      })
    }
  }
}

test('the kernel pings us over both families, and we ping it', async () => {
  const run = promisify(execFile)
  for (const [address, size] of [
    [STACK.v6, 56],
    [STACK.v6, 1232],
    [STACK.v4, 56],
    [STACK.v4, 1252],
  ] as const) {
    await run('ip', [
      'netns',
      'exec',
      lab.namespace,
      'ping',
      '-n',
      '-c',
      '3',
      '-i',
      '0.05',
      '-W',
      '2',
      '-s',
      String(size),
      address,
    ])
  }
  assert.ok((await lab.stack.ping(KERNEL.v6)) !== undefined)
  assert.ok((await lab.stack.ping(KERNEL.v4)) !== undefined)
})

test('a port of ours without listener refuses the kernel, and the other way round', async () => {
  const socket = lab.stack.connect({ address: KERNEL.v6, port: 7 })
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNREFUSED')
  const [line] = (await once(createInterface(peer('client', `${STACK.v6}`, 'upload', '1', '7').stdout!), 'line')) as [string]
  assert.match((JSON.parse(line) as { error: string }).error, /ECONNREFUSED/)
})

test('ten thousand connections to the kernel, opened and closed, leave nothing behind', { timeout: 60_000 }, async () => {
  const open = async (): Promise<void> => {
    const socket = lab.stack.connect({ address: KERNEL.v6, port: 9003 })
    socket.resume()
    await once(socket, 'close')
  }
  const round = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 100) await Promise.all(Array.from({ length: 100 }, open))
  }
  /** A socket closes before its last FIN is acknowledged. */
  const settled = async (): Promise<void> => {
    while (lab.stack.usage.connections > 0) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await round(500)
  await settled()
  global.gc?.()
  const before = process.memoryUsage().heapUsed
  await round(10_000)
  await settled()
  global.gc?.()
  assert.equal(lab.stack.usage.bufferBytes, 0)
  assert.ok(lab.stack.usage.timeWaits <= 4_096)
  if (global.gc !== undefined) assert.ok(process.memoryUsage().heapUsed - before < 8e6)
})
