import type { OnReadOpts, Socket } from 'node:net'
import type { Writable } from 'node:stream'

const BLOCK_BYTES = 32 * 1024
/** Of blocks that nobody uses, 256 KiB are kept. */
const KEPT = 8

/**
 * Memory into which sockets read, used again as soon as a sink has taken the bytes. Otherwise each read has 64 KiB of its own outside
 * V8's heap, and a small heap gives a collector no reason to come for them.
 */
export class ReadBlocks {
  readonly #free: Buffer[] = []

  /**
   * How a socket shall be made (`onread`) whose bytes all go into `sink`, which has copied a piece when it calls back, as the netstack's
   * streams do. The socket's own readable side carries nothing but its end.
   */
  into(sink: Writable): { onread: OnReadOpts; attach(socket: Socket): void } {
    let reading: Buffer | undefined
    const onread: OnReadOpts = {
      buffer: () => {
        reading = this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
        return reading
      },
      callback: (count) => {
        const block = reading!
        reading = undefined
        if (sink.destroyed || sink.writableEnded) return false
        return sink.write(block.subarray(0, count), () => this.#give(block))
      },
    }
    const attach = (socket: Socket): void => {
      const resume = (): void => void socket.resume()
      sink.on('drain', resume)
      socket.once('close', () => {
        sink.off('drain', resume)
        if (reading !== undefined) this.#give(reading)
        reading = undefined
      })
    }
    return { onread, attach }
  }

  #give(block: Buffer): void {
    if (this.#free.length < KEPT) this.#free.push(block)
  }
}
