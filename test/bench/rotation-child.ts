/**
 * Whole device agents in one process of their own: each with its state folder, its tunnel and its TLS contacts with the broker's API, made
 * by the code that `adit-agent run` runs. The first line on standard input is a `RotationOrder`; each later one is an order that is answered
 * by one line of JSON.
 */
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { defaultConfig } from '#agent/device/config.ts'
import { DeviceAgent } from '#agent/device/device-agent.ts'
import { enrol } from '#agent/io/enrol.ts'
import { Identity } from '#agent/io/identity.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { rootName } from '#shared/pki/root-succession.ts'
import { systemClock as clock } from '#shared/platform/clock.ts'
import { silentLog as log } from '#shared/platform/log.ts'
import { systemTimers as timers } from '#shared/platform/timers.ts'

export interface RotationOrder {
  /** Below it each agent has its state folder. */
  readonly folder: string
  readonly claim: string
  /** All agents of this process; those without a folder enrol first. */
  readonly numbers: readonly number[]
  readonly awake: readonly number[]
}

export type RotationCommand =
  | { readonly do: 'sleep' | 'wake' | 'prove'; readonly numbers: readonly number[] }
  | { readonly do: 'report' }

/** What one agent has at this moment. */
export interface RotationReport {
  readonly number: number
  readonly awake: boolean
  readonly up: boolean
  readonly connected: boolean
  /** SHA-256 of the roots that it trusts, hex, with commas between. */
  readonly roots: string
  /** Name of the CA of its certificate, as DER in hex. */
  readonly issuer: string
  /** When it was woken last, and when each of the two above changed last, wall-clock ms. */
  readonly wokenAt: number
  readonly rootsAt: number
  readonly issuerAt: number
}

const ports = { suite, clock, log }
/** At once: as many as keep this process busy. */
const together = 12
/** Between two looks at what agents trust. */
const lookEveryMs = 50
const config = { ...defaultConfig, services: [], mqtt: 'off', portMapping: false, vitalsEvery: undefined } as const

class RotatingAgent {
  readonly #number: number
  readonly #path: string
  #identity: Identity | undefined
  #agent: DeviceAgent | undefined
  #seen = { rootPem: '', roots: '', issuer: '', wokenAt: 0, rootsAt: 0, issuerAt: 0 }

  constructor(folder: string, number: number) {
    this.#number = number
    this.#path = join(folder, `agent-${number}`)
  }

  async enrol(token: string): Promise<void> {
    const folder = await StateFolder.open(this.#path)
    if (await folder.certificates()) return
    const identity = await enrol({ ...ports, folder, token, role: 'device' })
    identity.close()
  }

  async wake(): Promise<void> {
    const identity = await Identity.load(await StateFolder.open(this.#path), ports)
    if (identity === undefined) throw new Error(`agent ${this.#number} has lost what it was`)
    this.#identity = identity
    this.#seen = { ...this.#seen, rootPem: '', roots: '', issuer: '', wokenAt: clock.wall() }
    await this.#lookAtLeaf()
    this.look()
    this.#agent = await DeviceAgent.start({
      ...ports,
      ...{ timers, identity, config },
      hints: async () => ({ cpu: toHex(suite.hash('sha256', Buffer.from(this.#path))) }),
      onEvent: ({ event }) => {
        if (event === 'renewed') void this.#lookAtLeaf()
      },
      onOrder: () => undefined,
      onReplaced: () => {
        throw new Error(`agent ${this.#number} was taken for a copy`)
      },
    })
  }

  async sleep(): Promise<void> {
    await this.#agent?.stop()
    this.#identity?.close()
    this.#agent = undefined
    this.#identity = undefined
  }

  look(): void {
    const rootPem = this.#identity?.rootPem ?? ''
    if (rootPem === '' || rootPem === this.#seen.rootPem) return
    const names = decodePem('CERTIFICATE', rootPem).map((der) => rootName({ der }, suite))
    this.#seen = { ...this.#seen, rootPem, roots: names.join(), rootsAt: clock.wall() }
  }

  async #lookAtLeaf(): Promise<void> {
    const issuerAt = clock.wall()
    const chain = (await this.#identity?.folder.certificates())?.chain
    if (chain === undefined) return
    const issuer = toHex(parseCertificate(decodePem('CERTIFICATE', chain)[0]!).issuer)
    if (issuer !== this.#seen.issuer) this.#seen = { ...this.#seen, issuer, issuerAt }
  }

  report(): RotationReport {
    const status = this.#agent?.status()
    const { rootPem: _pem, ...seen } = this.#seen
    return {
      ...seen,
      number: this.#number,
      awake: this.#agent !== undefined,
      up: status?.tunnel.state === 'up',
      connected: status?.uplink.connected === true,
    }
  }

  /** Whether what lies on the disk proves itself to the API, and the API to it. */
  async prove(): Promise<boolean> {
    const identity = await Identity.load(await StateFolder.open(this.#path), ports, 'reader')
    if (identity === undefined) return false
    try {
      const { name, fleet, certificate } = await identity.api().config()
      const roots = identity.roots.map((der) => rootName({ der }, suite)).join()
      return name === identity.record.name && fleet.roots?.join() === roots && certificate.renewWithinSeconds === undefined
    } finally {
      identity.close()
    }
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const order = JSON.parse((await lines.next()).value as string) as RotationOrder
const agents = new Map(order.numbers.map((number) => [number, new RotatingAgent(order.folder, number)]))
await each(order.numbers, (agent) => agent.enrol(order.claim))
await each(order.awake, (agent) => agent.wake())
setInterval(() => {
  for (const agent of agents.values()) agent.look()
}, lookEveryMs)
say({ awake: order.awake.length })
for (;;) {
  const { value, done } = await lines.next()
  if (done) process.exit(0)
  const command = JSON.parse(value as string) as RotationCommand
  say(await obey(command))
}

async function obey(command: RotationCommand): Promise<unknown> {
  if (command.do === 'report') return [...agents.values()].map((agent) => agent.report())
  if (command.do !== 'prove') return each(command.numbers, (agent) => agent[command.do as 'sleep' | 'wake']())
  const proven: number[] = []
  await each(command.numbers, async (agent, number) => {
    if (await agent.prove().catch(() => false)) proven.push(number)
  })
  return proven
}

/** A few at a time. */
async function each(numbers: readonly number[], work: (agent: RotatingAgent, number: number) => Promise<void>): Promise<number> {
  const waiting = [...numbers]
  const worker = async (): Promise<void> => {
    for (let number = waiting.shift(); number !== undefined; number = waiting.shift()) await work(agents.get(number)!, number)
  }
  await Promise.all(Array.from({ length: together }, worker))
  return numbers.length
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
