import type { Pipe } from '#sim/internet/pipe.ts'

const prefix = 2

/** Datagrams in a pipe, each behind its length (RFC 9329 §3.1 without its own bytes): what a WebSocket's messages are for. */
export class FramedPipe {
  onDatagram: (datagram: Uint8Array) => void = () => {}
  readonly pipe: Pipe
  #buffer = new Uint8Array(0)

  constructor(pipe: Pipe) {
    this.pipe = pipe
    pipe.onData = (bytes) => this.#take(bytes)
  }

  send(datagram: Uint8Array): void {
    const frame = new Uint8Array(prefix + datagram.length)
    new DataView(frame.buffer).setUint16(0, datagram.length)
    frame.set(datagram, prefix)
    this.pipe.send(frame)
  }

  #take(bytes: Uint8Array): void {
    const all = new Uint8Array(this.#buffer.length + bytes.length)
    all.set(this.#buffer)
    all.set(bytes, this.#buffer.length)
    let at = 0
    while (at + prefix <= all.length) {
      const end = at + prefix + ((all[at]! << 8) | all[at + 1]!)
      if (end > all.length) break
      this.onDatagram(all.slice(at + prefix, end))
      at = end
    }
    this.#buffer = all.slice(at)
  }
}
