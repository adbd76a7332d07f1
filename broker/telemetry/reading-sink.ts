import type { AuditLog } from '#broker/registry/audit-log.ts'
import type { HostKeyStore } from '#broker/registry/host-keys.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { TelemetryStore } from '#broker/registry/telemetry.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Log } from '#shared/platform/log.ts'
import { decodeCbor } from '#shared/telemetry/cbor.ts'
import { BatchError, decodeBatch } from '#shared/telemetry/reading.ts'

/** Services and keys of one host key report, and characters of a key line (an RSA key of 16384 bits has 2,800). */
const reportLimits = { services: 16, keys: 16, keyLength: 4_096 } as const
const keyLine = /^[a-z0-9@.-]+ [A-Za-z0-9+/=]+$/
const serviceName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

export interface ReadingSinkOptions {
  telemetry: Pick<TelemetryStore, 'insert'>
  hostKeys: Pick<HostKeyStore, 'report'>
  audit: Pick<AuditLog, 'append'>
  suite: Pick<Suite, 'hash'>
  log: Log
}

/** Takes what devices publish and puts it on disk. Every promise resolves after the commit: the acknowledgement follows it (DESIGN D11). */
export class ReadingSink {
  readonly counters = { readings: 0, duplicates: 0, quarantined: 0 }
  readonly #options: ReadingSinkOptions

  constructor(options: ReadingSinkOptions) {
    this.#options = options
  }

  /**
   * A batch of readings. One that is no batch is set aside with an audit row that names it, and acknowledged: its sender would send it
   * for ever and nothing after it. A failing disk rejects, and is not acknowledged.
   */
  async readings(device: Principal, payload: Uint8Array): Promise<void> {
    const batch = this.#decoded(device, payload)
    if (batch === undefined) return this.#quarantine(device, 'readings', payload)
    const { inserted, duplicates } = await this.#options.telemetry.insert([{ principalId: device.id, ...batch }])
    this.counters.readings += inserted
    this.counters.duplicates += duplicates
  }

  /** Host keys as the device's services present them: the first are pinned, others are kept aside (`adit devices accept-key`). */
  async hostKeys(device: Principal, payload: Uint8Array): Promise<void> {
    const report = decodedReport(payload)
    if (report === undefined) return this.#quarantine(device, 'host-keys', payload)
    for (const [service, keys] of report) {
      const verdict = await this.#options.hostKeys.report(device.id, service, keys)
      if (verdict === 'same') continue
      const action = verdict === 'pinned' ? 'host-key.pin' : 'host-key.changed'
      const subject = `device:${device.name}`
      await this.#options.audit.append({ actor: subject, action, subject, deviceId: device.id, detail: { service, keys } })
    }
  }

  #decoded(device: Principal, payload: Uint8Array) {
    try {
      return decodeBatch(payload)
    } catch (error) {
      if (!(error instanceof BatchError)) throw error
      this.#options.log.warn({ device: device.name, code: error.code, bytes: payload.length }, `set aside: ${error.message}`)
      return undefined
    }
  }

  async #quarantine(device: Principal, channel: string, payload: Uint8Array): Promise<void> {
    this.counters.quarantined++
    const subject = `device:${device.name}`
    const sha256 = toHex(this.#options.suite.hash('sha256', payload))
    // Enough of it to see what sends it; the whole would let a broken device fill the disk.
    const head = Buffer.from(payload.subarray(0, 256)).toString('base64')
    const detail = { channel, bytes: payload.length, sha256, head }
    await this.#options.audit.append({ actor: subject, action: 'telemetry.quarantine', subject, deviceId: device.id, detail })
  }
}

function decodedReport(payload: Uint8Array): [service: string, keys: string[]][] | undefined {
  let value: unknown
  try {
    value = decodeCbor(payload)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const entries: [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value)
  if (entries.length > reportLimits.services) return undefined
  return entries.every(isServiceReport) ? (entries as [string, string[]][]) : undefined
}

function isServiceReport([service, keys]: [unknown, unknown]): boolean {
  return (
    typeof service === 'string' &&
    serviceName.test(service) &&
    Array.isArray(keys) &&
    keys.length > 0 &&
    keys.length <= reportLimits.keys &&
    keys.every((key) => typeof key === 'string' && key.length <= reportLimits.keyLength && keyLine.test(key))
  )
}
