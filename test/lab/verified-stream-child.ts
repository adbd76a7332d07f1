import { createCipheriv, createHash } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'

/**
 * One end of a TCP connection on which both ends send, as fast as it takes, bytes that follow from a seed, and judge each byte that comes:
 * `serve ADDRESS PORT SEED` or `call ADDRESS PORT SEED`. Says JSON lines: `listening`, `connected`, `progress` each second with the bytes
 * `sent` and `verified` so far, and `corrupt` with the place of the first wrong byte, after which it ends with status 1. A connection that
 * ends or fails is `ended`, likewise.
 */
const [role = '', address = '', port = '', seed = ''] = process.argv.slice(2)
const say = (event: Readonly<Record<string, unknown>>): void => void process.stdout.write(`${JSON.stringify(event)}\n`)

const zeros = new Uint8Array(256 * 1024)

/** The next bytes of a direction's stream: AES-128-CTR, which a processor makes faster than any tunnel carries them. */
function streamOf(sender: string): (length: number) => Buffer {
  const key = createHash('sha256').update(`${seed} ${sender}`).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, zeros.subarray(0, 16))
  return (length) => cipher.update(zeros.subarray(0, length))
}

function run(socket: Socket): void {
  say({ event: 'connected' })
  const ours = streamOf(role)
  const theirs = streamOf(role === 'serve' ? 'call' : 'serve')
  let sent = 0
  let verified = 0
  const send = (): void => {
    do sent += 64 * 1024
    while (socket.write(ours(64 * 1024)))
  }
  socket.on('drain', send)
  socket.on('data', (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; at += zeros.length) {
      const piece = bytes.subarray(at, at + zeros.length)
      const expected = theirs(piece.length)
      if (!expected.equals(piece)) {
        const wrong = expected.findIndex((byte, index) => byte !== piece[index])
        say({
          event: 'corrupt',
          at: verified + wrong,
          expected: expected.toString('hex', wrong, wrong + 32),
          came: piece.toString('hex', wrong, wrong + 32),
        })
        process.exit(1)
      }
      verified += piece.length
    }
  })
  const ended = (why: string) => {
    say({ event: 'ended', why, sent, verified })
    process.exit(1)
  }
  socket.once('error', ({ message }) => ended(message))
  socket.once('close', () => ended('closed'))
  setInterval(() => say({ event: 'progress', sent, verified }), 1_000)
  send()
}

if (role === 'call') {
  const socket = connect({ host: address, port: Number(port) }, () => run(socket))
} else {
  const server = createServer(run)
  server.listen(Number(port), address, () => say({ event: 'listening' }))
}
