import type { Duplex } from 'node:stream'

/**
 * The least of MQTT 3.1.1 that a device speaks to the broker: CONNECT, PUBLISH at QoS 1 and its PUBACK. The figures measure the broker
 * on a machine that it shares with its load, so the load makes no packet objects.
 */
export class MqttSession {
  readonly #stream: Duplex
  readonly #waiting = new Map<number, () => void>()
  #rest: Buffer = Buffer.alloc(0)
  #accepted: (() => void) | undefined
  #nextId = 0
  /** The stream has ended. */
  ended = false
  onEnd: (() => void) | undefined

  private constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.on('error', () => undefined)
    stream.on('close', () => {
      this.ended = true
      this.onEnd?.()
    })
  }

  /** Resolves with the broker's CONNACK; rejects where the stream ends before it. */
  static open(stream: Duplex, clientId: string): Promise<MqttSession> {
    const session = new MqttSession(stream)
    return new Promise((resolve, reject) => {
      session.onEnd = () => reject(new Error('no CONNACK'))
      session.#accepted = () => {
        session.onEnd = undefined
        resolve(session)
      }
      // §3.1: MQTT level 4, a clean session, no keepalive.
      stream.write(packet(0x10, [text('MQTT'), Buffer.of(4, 2, 0, 0), text(clientId)]))
    })
  }

  /** Sends `publish`, which `publishPacket` made, under a packet id of its own; `acknowledged` is called at its PUBACK. */
  publish(publish: PublishPacket, acknowledged: () => void): void {
    this.#nextId = (this.#nextId % 0xffff) + 1
    publish.bytes.writeUInt16BE(this.#nextId, publish.idAt)
    this.#waiting.set(this.#nextId, acknowledged)
    this.#stream.write(publish.bytes)
  }

  /** CONNACK (§3.2) and PUBACK (§3.4) have four bytes each. */
  #take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    // What is published in answer goes out in one piece.
    this.#stream.cork()
    for (; at + 4 <= bytes.length; at += 4) {
      const kind = bytes[at]! >> 4
      if (kind === 2) this.#accepted?.()
      else if (kind === 4) {
        const id = bytes.readUInt16BE(at + 2)
        const acknowledged = this.#waiting.get(id)
        this.#waiting.delete(id)
        acknowledged?.()
      } else throw new Error(`an MQTT packet of type ${kind} from the broker`)
    }
    this.#stream.uncork()
    this.#rest = bytes.subarray(at)
  }
}

export interface PublishPacket {
  readonly bytes: Buffer
  /** Where the two bytes of the packet id stand, and where the payload begins. */
  readonly idAt: number
  readonly payloadAt: number
}

/** PUBLISH at QoS 1 (§3.3), its packet id still 0. */
export function publishPacket(topic: string, payload: Uint8Array): PublishPacket {
  const bytes = packet(0x32, [text(topic), Buffer.alloc(2), payload])
  const payloadAt = bytes.length - payload.length
  return { bytes, idAt: payloadAt - 2, payloadAt }
}

function packet(first: number, parts: readonly Uint8Array[]): Buffer {
  let left = parts.reduce((sum, { length }) => sum + length, 0)
  const head = [first]
  do {
    head.push((left & 127) | (left > 127 ? 128 : 0))
    left >>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from(head), ...parts])
}

function text(content: string): Buffer {
  const bytes = Buffer.from(content)
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes])
}
