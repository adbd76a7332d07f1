/**
 * The agent for programs on the same machine: readings go to the running agent through its socket in the state folder, and are durable
 * when the promise resolves. Only the user who owns the folder can.
 *
 *   const outbox = await openOutbox()
 *   await outbox.report({ name: 'boiler/temperature', value: 71.5, unit: '°C' })
 *   outbox.close()
 */
import { join, resolve } from 'node:path'
import type { ReadingValue } from '#shared/telemetry/reading.ts'
import type { DeviceStatus } from './device/status.ts'
import { AgentSocketClient } from './io/agent-socket.ts'
import { stateFiles, stateFolderPath } from './io/state-folder.ts'

export interface OutgoingReading {
  /** Letters, digits and `_.:-`, in levels parted by `/`, at most 128 characters; not below `system/`. */
  readonly name: string
  /** Bytes cannot travel this way: publish them as CBOR by MQTT. */
  readonly value: ReadingValue
  readonly unit?: string
  /** When it was taken: ms since 1970, an ISO 8601 text or a Date; now, unless said. */
  readonly at?: number | string | Date
}

export interface LocalOutbox {
  /** Resolves when all of them are on this device's disk; rejects with an AditError, and none is kept, otherwise. */
  report(readings: OutgoingReading | readonly OutgoingReading[]): Promise<void>
  status(): Promise<DeviceStatus>
  close(): void
}

/** Connects to the running agent; `state` as in `adit-agent --state`. Throws AditError `tunnel-unreachable` where none runs. */
export async function openOutbox(options: { state?: string } = {}): Promise<LocalOutbox> {
  const folder = resolve(stateFolderPath(options.state, 'adit-agent'))
  const client = await AgentSocketClient.connect(join(folder, stateFiles.socket))
  return {
    report: async (readings) => void (await client.request({ op: 'report', readings })),
    status: () => client.request({ op: 'status' }) as Promise<DeviceStatus>,
    close: () => client.close(),
  }
}
