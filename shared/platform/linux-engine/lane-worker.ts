/** The thread of a lane, as a worker: puts LaneLoop together and runs it until it is told to stop. */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { opensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { LaneLoop } from './lane-loop.ts'
import { type LaneStart, nothingYet } from './lane-messages.ts'
import { isRefusal, loadNative } from './native.ts'

/** What the main thread gives a worker. */
export interface LaneWorkerData {
  readonly start: LaneStart
  /** Bytes of the lane's own memory. */
  readonly memory: number
  readonly port: MessagePort
}

const { start, memory: size, port } = workerData as LaneWorkerData
const native = await loadNative()
if (isRefusal(native)) throw new Error(native.message)
const memory = native.memory(size)
const crypto = opensslCrypto(native, memory)
if (isRefusal(crypto)) throw new Error(crypto.message)
const loop = new LaneLoop({
  ...{ native, memory, crypto, start },
  post: (news) => port.postMessage(news),
  next: () => receiveMessageOnPort(port)?.message,
})
port.postMessage(nothingYet)
loop.run()
port.close()
