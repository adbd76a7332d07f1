import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { EventFd } from './event-fd.ts'
import type { FromLane, LaneStart } from './lane-messages.ts'
import type { LaneThread } from './lane-seat.ts'
import type { LaneWorkerData } from './lane-worker.ts'

/** A lane needs little of a heap: a few objects a session and a flow. MB. */
export const LANE_HEAP = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 }
/** How long a thread may take to end of its own will, ms. */
const PATIENCE = 2_000

/** Starts the worker of a lane. `memory`: bytes of its own. */
export function spawnLane(
  start: LaneStart,
  memory: number,
  wake: EventFd,
  take: (news: FromLane) => void,
  failed: (error: unknown) => void,
): LaneThread & { readonly worker: Worker } {
  const { port1, port2 } = new MessageChannel()
  const workerData: LaneWorkerData = { start, memory, port: port2 }
  const worker = new Worker(entryOf(workerFile()), { workerData, transferList: [port2], resourceLimits: LANE_HEAP })
  let fault: unknown
  let isAsked = false
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  worker.on('error', (error) => {
    fault = error
  })
  worker.once('exit', (code) => {
    port1.close()
    if (!isAsked) failed(fault ?? new Error(`the lane's thread has ended (${code})`))
  })
  port1.on('message', take)
  port1.unref()
  return {
    worker,
    post(message) {
      if (message.kind === 'stop') isAsked = true
      port1.postMessage(message)
      wake.wake()
    },
    async end() {
      const timer = setTimeout(() => void worker.terminate(), PATIENCE)
      await ended
      clearTimeout(timer)
    },
  }
}

/** Beside this file in a checkout; in a bundle beside the programs, whose chunks lie one folder deeper. */
function workerFile(): URL {
  const places = ['./lane-worker.ts', './lane-worker.js', '../lane-worker.js'].map((name) => new URL(name, import.meta.url))
  return places.find((place) => existsSync(fileURLToPath(place))) ?? places[0]!
}

/** In a checkout a thread needs its own hook that reads TypeScript: the one of the main thread is not handed on. */
function entryOf(file: URL): URL {
  if (!file.pathname.endsWith('.ts')) return file
  const [tsx, entry] = [import.meta.resolve('tsx/esm/api'), file.href].map((url) => JSON.stringify(url))
  return new URL(
    `data:text/javascript,${encodeURIComponent(`import { register } from ${tsx}; register(); await import(${entry})`)}`,
  )
}
