/**
 * The kernel's side of netstack-kernel.test.ts, run inside its network namespace: `server ADDRESS` listens on the ports below; `client ADDRESS
 * upload|download BYTES [PORT]` uses our stack's. Ports: 9001 takes bytes and answers with their SHA-256; 9002 gives the number of bytes asked for.
 * 9003 closes at once. Speaks JSON lines on standard output.
 */
import { createHash } from 'node:crypto'
import net from 'node:net'

const [mode = '', address = '', direction = '', bytes = '0', port = ''] = process.argv.slice(2)
const block = Buffer.alloc(1 << 20)
for (let i = 0; i < block.length; i++) block[i] = (i * 31 + (i >> 8) * 17) & 0xff

const say = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

function send(socket: net.Socket, count: number): void {
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

function serve(): void {
  const sink = net.createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256')
    socket.on('data', (chunk) => hash.update(chunk))
    socket.on('end', () => socket.end(hash.digest('hex')))
    socket.on('error', () => socket.destroy())
  })
  const source = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.once('data', (line) => send(socket, Number(line.toString())))
    socket.on('error', () => socket.destroy())
  })
  const brief = net.createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.end()
    socket.resume()
  })
  let ready = 0
  for (const [port, server] of [
    [9001, sink],
    [9002, source],
    [9003, brief],
  ] as const) {
    server.listen({ port, host: address, backlog: 4096 }, () => {
      if (++ready === 3) say({ ready: true })
    })
  }
}

function upload(): void {
  const socket = net.connect({ host: address, port: Number(port || 9001), allowHalfOpen: true })
  let answer = ''
  socket.on('connect', () => send(socket, Number(bytes)))
  socket.on('data', (chunk) => {
    answer += chunk.toString()
  })
  socket.on('end', () => say({ digest: answer }))
  socket.on('error', (error) => say({ error: error.message }))
}

function download(): void {
  const socket = net.connect({ host: address, port: 9002, allowHalfOpen: true })
  const hash = createHash('sha256')
  socket.on('connect', () => socket.write(bytes))
  socket.on('data', (chunk) => hash.update(chunk))
  socket.on('end', () => {
    socket.end()
    say({ digest: hash.digest('hex') })
  })
  socket.on('error', (error) => say({ error: error.message }))
}

if (mode === 'server') serve()
else if (direction === 'upload') upload()
else download()
