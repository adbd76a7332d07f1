import type { Socket } from 'node:net'
import type { Suite } from '#shared/crypto/suite.ts'
import { encodeClientFrame, Opcode, ServerFrameReader } from '#shared/wire/websocket-frame.ts'
import { backlogLimit, type DatagramStream, longestMessage, type StreamEvents } from './datagram-stream.ts'
import { type ResponseHead, readHead } from './tcp-http-head.ts'

/** Appended to the key of the handshake (RFC 6455 §1.3). */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const nothing = new Uint8Array(0)

/** The far end answered the request for a WebSocket with something else. */
export class UpgradeRefused extends Error {
  readonly head: ResponseHead

  constructor(head: ResponseHead) {
    super(`the answer to the request for a WebSocket is ${head.status}`)
    this.head = head
  }
}

export interface WebsocketTarget {
  readonly suite: Suite
  /** As in the URL: `host` or `host:port`. */
  readonly host: string
  readonly path: string
  /** For the answer, ms. */
  readonly timeoutMs: number
}

/**
 * A client's WebSocket (RFC 6455) on a connection that is there: one datagram a binary message, no extension, no secret in the request. A
 * library would cost an agent 75 ms and 9 MB. Rejects with UpgradeRefused, or as the connection failed; it is destroyed then.
 */
export async function openWebsocket(socket: Socket, target: WebsocketTarget, events: StreamEvents): Promise<DatagramStream> {
  const { suite, host, path, timeoutMs } = target
  const key = Buffer.from(suite.random(16)).toString('base64')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  const { head, rest } = await readHead(socket, timeoutMs)
  const accept = Buffer.from(suite.hash('sha1', Buffer.from(key + acceptSuffix))).toString('base64')
  if (head.status !== 101 || head.headers['sec-websocket-accept'] !== accept) {
    socket.destroy()
    throw new UpgradeRefused(head)
  }
  return new WebsocketClient(socket, suite, events, rest)
}

class WebsocketClient implements DatagramStream {
  readonly #socket: Socket
  readonly #suite: Suite
  readonly #events: StreamEvents
  readonly #reader = new ServerFrameReader({ limit: longestMessage })
  #ended: string | undefined

  constructor(socket: Socket, suite: Suite, events: StreamEvents, rest: Uint8Array) {
    this.#socket = socket
    this.#suite = suite
    this.#events = events
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => (this.#ended ??= error.message))
    socket.on('end', () => this.close('the far end closed it'))
    socket.once('close', () => events.closed(this.#ended ?? 'the connection ended'))
    // What came with the answer is the beginning of what comes.
    if (rest.length > 0) socket.unshift(rest)
    socket.resume()
  }

  send(datagram: Uint8Array): boolean {
    if (datagram.length > 0xffff || this.#socket.writableLength > backlogLimit) return false
    return this.#write(Opcode.Binary, datagram)
  }

  ping(): void {
    this.#write(Opcode.Ping, nothing)
  }

  close(why: string): void {
    if (this.#ended === undefined) this.#write(Opcode.Close, nothing)
    this.#ended ??= why
    this.#socket.destroySoon()
    // A far end that takes nothing more would keep it open.
    setTimeout(() => this.#socket.destroy(), 1_000).unref()
  }

  #received(chunk: Uint8Array): void {
    if (this.#ended !== undefined) return
    try {
      this.#reader.push(chunk, (opcode, payload) => this.#message(opcode, payload))
    } catch (error) {
      this.close((error as Error).message)
    }
  }

  #message(opcode: number, payload: Uint8Array): void {
    if (this.#ended !== undefined) return
    if (opcode === Opcode.Binary) this.#events.datagram(payload)
    else if (opcode === Opcode.Ping) {
      this.#write(Opcode.Pong, payload)
      this.#events.alive()
    } else if (opcode === Opcode.Pong) this.#events.alive()
    else this.close(opcode === Opcode.Close ? 'the far end closed it' : 'a message that is no datagram')
  }

  #write(opcode: number, payload: Uint8Array): boolean {
    if (this.#ended !== undefined || this.#socket.destroyed || !this.#socket.writable) return false
    this.#socket.write(encodeClientFrame(opcode, payload, this.#suite.random(4)))
    return true
  }
}
