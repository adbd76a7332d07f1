import type { AgentConfig } from '#agent/core/agent-config.ts'
import type { AgentCore, AgentEvent } from '#agent/core/agent-core.ts'
import { DataKeeper, type DataStatus, type DataWishes } from '#agent/core/data-keeper.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { OuterMeter } from '#shared/nat/outer-octets.ts'
import type { Log } from '#shared/platform/log.ts'
import { networkFingerprint } from '#shared/platform/network-fingerprint.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Clock, type Duration, minutes } from '#shared/time/instant.ts'
import { LifetimeProbe, type LifetimeStatus } from './lifetime-probe.ts'
import { NetworkMemory } from './network-memory.ts'
import { type StateFolder, stateFiles } from './state-folder.ts'

export interface DataCareOptions {
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly folder: StateFolder
  readonly core: AgentCore
  /** What the device's own configuration says. Undefined: an operator's tunnel, which is too short-lived to learn anything. */
  readonly own: DataWishes | undefined
  /** How often the broker will hear of us from now on, at the least. */
  onPace?(pace: Duration): void
}

/** The tunnel's data in one place: what it has cost, what it may cost, and the keepalive interval that follows from network and budget. */
export class DataCare {
  readonly meter = new OuterMeter()
  readonly #options: DataCareOptions
  readonly #keeper: DataKeeper
  readonly #lifetime: LifetimeProbe
  #pace: Duration | undefined

  private constructor(options: DataCareOptions, memory: NetworkMemory) {
    const { core, log } = options
    this.#options = options
    this.#keeper = new DataKeeper(core, options.own ?? {}, ({ monthlyMegabytes, projectedMegabytes, sleepsForBudget }) => {
      const then = sleepsForBudget ? 'the tunnel sleeps, and polls' : 'it stays reachable over budget'
      log.warn({ monthlyMegabytes, projectedMegabytes }, `this network forgets too soon for the data budget: ${then}`)
    })
    this.#lifetime = new LifetimeProbe({
      ...options,
      memory,
      meter: this.meter,
      core: {
        get state() {
          return core.state
        },
        get association() {
          return core.association
        },
        get reflexive() {
          return core.reflexive
        },
        setKeepaliveInterval: (interval) => {
          core.setKeepaliveInterval(interval)
          const family = core.association?.endpoint?.address.includes(':') ? 'v6' : 'v4'
          this.#keeper.learned(core.keepaliveInterval, family)
          this.#tellPace()
        },
      },
      fingerprint: (publicAddress) => networkFingerprint({ salt: memory.salt, publicAddress }),
      enough: (family) => this.#keeper.enough(family),
    })
  }

  static async open(options: DataCareOptions): Promise<DataCare> {
    const salt = toHex(options.suite.random(16))
    return new DataCare(options, await NetworkMemory.open(options.folder.file(stateFiles.networks), salt))
  }

  get status(): DataStatus & { lifetime: LifetimeStatus } {
    return { ...this.#keeper.status, lifetime: this.#lifetime.status }
  }

  /** How often the broker hears of us while all is well: each keepalive, or each poll. */
  get pace(): Duration {
    const { mode, sleepsForBudget, poll } = this.#keeper.status
    return mode === 'on-demand' || sleepsForBudget ? poll : this.#options.core.keepaliveInterval
  }

  configured({ data }: AgentConfig): void {
    const isChanged = this.#keeper.configured({
      mode: data?.mode,
      monthlyMegabytes: data?.monthlyMegabytes,
      poll: data?.pollMinutes === undefined ? undefined : minutes(data.pollMinutes),
      exceeded: data?.exceeded,
    })
    if (isChanged) this.#lifetime.planChanged()
    this.#tellPace()
  }

  /** What the core says of itself. */
  event(event: AgentEvent): void {
    // Who sleeps holds no mapping for long enough to care.
    if (this.#options.own !== undefined && this.#keeper.status.mode !== 'on-demand') this.#lifetime.event(event)
    if (event.kind === 'binding-lost') this.#tellPace()
  }

  close(): Promise<void> {
    return this.#lifetime.close()
  }

  #tellPace(): void {
    if (this.pace === this.#pace) return
    this.#pace = this.pace
    this.#options.onPace?.(this.pace)
  }
}
