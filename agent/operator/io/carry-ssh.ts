import { once } from 'node:events'
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
 * overloaded sshd refuses in its greeting is made again, unseen by the client.
 */
export async function carrySsh({ stdin, stdout }: Terminals, open: () => Promise<Socket>): Promise<void> {
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
  if (greeting.heldBack.length > 0) stdout.write(greeting.heldBack)
  stdin.off('data', toServer).destroy()
  socket.destroy()
  if (!stdout.writableEnded && !stdout.destroyed) stdout.end()
}

/** The server's direction, until its end. */
async function carryDown(socket: Socket, stdout: Writable, greeting: SshGreeting): Promise<void> {
  for await (const chunk of readable(socket)) {
    const shown = greeting.serverSent(chunk)
    if (shown.length > 0 && !stdout.write(shown)) await Promise.race([once(stdout, 'drain'), once(stdout, 'close')])
  }
}

async function* readable(socket: Socket): AsyncGenerator<Buffer> {
  try {
    yield* socket as AsyncIterable<Buffer>
  } catch {
    // A reset ends the direction as an end does: ssh says what it missed.
  }
}
