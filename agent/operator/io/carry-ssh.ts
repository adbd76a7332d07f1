import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { SshGreeting } from '#agent/operator/ssh-greeting.ts'

interface Terminals {
  stdin: Readable
  stdout: Writable
}

/** Attempts against a server that drops connections because too many wait for authentication, and the longest pause between them, ms. */
const attempts = 20
const longestPauseMs = 1_500

/**
 * Joins standard input and output to a stream, each direction ending for itself, until the server has ended. A connection that an
 * overloaded sshd refuses in its greeting is made again, unseen by the client. Resolves with false where the server closed without
 * a word while the client still waited for one: nothing serves there.
 */
export async function carrySsh({ stdin, stdout }: Terminals, open: () => Promise<Socket>): Promise<boolean> {
  const greeting = new SshGreeting()
  let socket = await open()
  const toServer = (chunk: Buffer): void => {
    greeting.clientSent(chunk)
    if (!socket.write(chunk)) stdin.pause()
  }
  stdin.on('data', toServer)
  stdin.on('end', () => socket.end())
  stdin.on('error', () => socket.destroy())
  // The client is gone: nobody reads any more.
  stdout.on('error', () => socket.destroy())
  for (let attempt = 1; ; attempt++) {
    socket.on('drain', () => stdin.resume())
    await carryDown(socket, stdout, greeting)
    if (!greeting.refused || attempt === attempts) break
    socket.destroy()
    // What the client says meanwhile waits in its pipe.
    stdin.pause()
    await new Promise((resolve) => setTimeout(resolve, longestPauseMs * (0.2 + 0.8 * Math.random())))
    socket = await open()
    socket.write(greeting.restart())
    if (stdin.readableEnded) socket.end()
    stdin.resume()
  }
  const answered = !greeting.silent || stdin.readableEnded
  if (greeting.heldBack.length > 0) stdout.write(greeting.heldBack)
  stdin.off('data', toServer).destroy()
  socket.destroy()
  if (!stdout.writableEnded && !stdout.destroyed) stdout.end()
  return answered
}

/** The server's direction, until its end. */
async function carryDown(socket: Socket, stdout: Writable, greeting: SshGreeting): Promise<void> {
  for await (const chunk of readable(socket)) {
    const shown = greeting.serverSent(chunk)
    if (shown.length > 0 && !stdout.write(shown)) await roomIn(stdout)
  }
}

/** Resolves when `stream` takes more, or is gone. */
function roomIn(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done).off('close', done)
      resolve()
    }
    if (stream.destroyed) resolve()
    else stream.on('drain', done).on('close', done)
  })
}

async function* readable(socket: Socket): AsyncGenerator<Buffer> {
  try {
    yield* socket as AsyncIterable<Buffer>
  } catch {
    // A reset ends the direction as an end does: ssh says what it missed.
  }
}
