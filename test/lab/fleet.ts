import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { type Finished, type JsonEvent, Program, run } from '#test/lab/program.ts'

export interface FleetOptions {
  /** Where the broker runs (`Host.prefix`), and the operators too. */
  prefix?: readonly string[]
  /** `ADDR:PORT` of UDP and of the API: free ports of loopback. */
  listen?: string
  api?: string
  /** Where the broker's data is: in the fleet's own folder. */
  data?: string
  /** The broker's config.toml. */
  config?: string
  /** Further words of `adit-broker run`. */
  words?: readonly string[]
  /** Runs the broker's bundle that `make build` makes, in place of the checkout; left out: as the whole run of tests does. */
  bundle?: boolean
}

export interface DeviceOptions {
  prefix?: readonly string[]
  tags?: readonly string[]
  /** `NAME=ADDR:PORT`. */
  services?: readonly string[]
  /** ADDR:PORT of the local MQTT listener; off. */
  mqtt?: string
  /** The protocols of its tunnel: noise. */
  suite?: SuiteName
  /** The HTTP proxy that it is told of, at enrolment. */
  proxy?: string
  /** PKCS#11 URI of the token in which its identity key is made. */
  pkcs11?: string
  /** Its state folder: in the fleet's own. */
  state?: string
  /** Likewise of the agent's. */
  bundle?: boolean
  /** Further words of `adit-agent run`. */
  words?: readonly string[]
}

/**
 * A real fleet for a test: a broker, devices and operators as processes, as a person would start them, their folders in one temporary
 * folder. Everything ends with the test. Most methods are one command each and fail with what the command said.
 */
export class Fleet {
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-fleet-'))
  readonly data: string
  readonly #prefix: readonly string[]
  readonly #words: readonly string[]
  readonly #bundle: Pick<FleetOptions, 'bundle'>
  readonly #devices: Device[] = []
  readonly #operators: Operator[] = []
  #broker: Program | undefined
  #listen: string
  #api: string

  private constructor(options: FleetOptions) {
    this.data = options.data ?? join(this.folder, 'broker')
    this.#prefix = options.prefix ?? []
    this.#words = options.words ?? []
    this.#bundle = options.bundle === undefined ? {} : { bundle: options.bundle }
    this.#listen = options.listen ?? '127.0.0.1:0'
    this.#api = options.api ?? '127.0.0.1:0'
    if (options.config !== undefined) {
      mkdirSync(this.data, { recursive: true, mode: 0o700 })
      writeFileSync(join(this.data, 'config.toml'), options.config, { mode: 0o600 })
    }
  }

  static async start(t: Pick<TestContext, 'after'>, options: FleetOptions = {}): Promise<Fleet> {
    const fleet = new Fleet(options)
    t.after(() => fleet.close())
    await fleet.startBroker()
    return fleet
  }

  get broker(): Program {
    assert.ok(this.#broker, 'the broker runs')
    return this.#broker
  }

  /** `ADDR:PORT` of UDP. */
  get listen(): string {
    return this.#listen
  }

  /** `ADDR:PORT` of the API. */
  get api(): string {
    return this.#api
  }

  /** Starts the broker, at the same ports as before. */
  async startBroker(): Promise<void> {
    const args = ['run', '--data', this.data, '--listen', this.#listen, '--api', this.#api, '--json', ...this.#words]
    this.#broker = Program.start('adit-broker', args, { prefix: this.#prefix, ...this.#bundle })
    const ready = await this.#broker.event(({ event }) => event === 'ready', 60_000)
    this.#listen = String(ready.listen)
    this.#api = String(ready.api).replace('https://', '')
  }

  /** kill -9 and start. Resolves when it is ready again. */
  async crashBroker(): Promise<void> {
    await this.broker.stop('SIGKILL')
    await this.startBroker()
  }

  /** An administrator's command that must succeed; returns the JSON that it says. */
  async admin<Answer = JsonEvent>(...words: readonly string[]): Promise<Answer> {
    const said = await this.adminSays(...words, '--json')
    return JSON.parse(said) as Answer
  }

  /** The same as plain text. */
  async adminSays(...words: readonly string[]): Promise<string> {
    return succeeded('adit-broker', words, await run('adit-broker', [...words, '--data', this.data]))
  }

  /** An administrator's command that must be refused; returns what it says on standard error. */
  async refusedAdmin(...words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await run('adit-broker', [...words, '--data', this.data])
    assert.notEqual(status, 0, stdout)
    return stderr
  }

  async claim(role: 'device' | 'operator', name: string, ...more: readonly string[]): Promise<string> {
    const { claim } = await this.admin<{ claim: string }>('claim', 'create', '--role', role, '--name', name, ...more)
    return claim
  }

  async grant(operator: string, device: string, ...ports: readonly (number | string)[]): Promise<void> {
    const words = ports.flatMap((port) => ['--port', String(port)])
    await this.admin('grant', 'add', '--operator', operator, '--device', device, ...words)
  }

  /** Registers a stock WireGuard peer; returns the wg-quick file with its private key filled in. */
  async wireguardDevice(name: string, keys: { publicKey: string; privateKey: string }): Promise<string> {
    const config = await this.adminSays('device', 'add', '--name', name, '--wireguard', keys.publicKey)
    return config.replace(/^PrivateKey =.*$/m, `PrivateKey = ${keys.privateKey}`)
  }

  /** A device that has enrolled, runs and is up. */
  async device(name: string, options: DeviceOptions = {}): Promise<Device> {
    const device = new Device(name, options.state ?? join(this.folder, `device-${name}`), options)
    this.#devices.push(device)
    await device.enrol(await this.claim('device', name, ...(options.tags ?? []).flatMap((tag) => ['--tag', tag])))
    await device.start()
    return device
  }

  /** An operator who has logged in. */
  async operator(name: string, ...claimWords: readonly string[]): Promise<Operator> {
    return this.operatorIn('noise', name, ...claimWords)
  }

  /** Likewise in a suite of choice. */
  async operatorIn(suite: SuiteName, name: string, ...claimWords: readonly string[]): Promise<Operator> {
    const operator = new Operator(join(this.folder, `operator-${name}`), this.#prefix)
    this.#operators.push(operator)
    await operator.must(['login', '--claim', '-', '--suite', suite], { input: await this.claim('operator', name, ...claimWords) })
    return operator
  }

  async close(): Promise<void> {
    await Promise.all(this.#operators.map((operator) => operator.run(['logout']).catch(() => undefined)))
    await Promise.all(this.#devices.map((device) => device.stop()))
    await this.#broker?.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** A device of the fleet: `adit-agent` with its state folder. */
export class Device {
  readonly name: string
  readonly state: string
  readonly #options: DeviceOptions
  #program: Program | undefined

  constructor(name: string, state: string, options: DeviceOptions) {
    this.name = name
    this.state = state
    this.#options = options
    mkdirSync(state, { recursive: true, mode: 0o700 })
  }

  get program(): Program {
    assert.ok(this.#program, `${this.name} runs`)
    return this.#program
  }

  async enrol(claim: string): Promise<void> {
    const { proxy, pkcs11 } = this.#options
    const words = ['enrol', '--claim', '-', '--state', this.state]
    if (proxy !== undefined) words.push('--proxy', proxy)
    if (pkcs11 !== undefined) words.push('--pkcs11', pkcs11)
    const result = await run('adit-agent', words, { input: claim, prefix: this.#options.prefix ?? [] })
    succeeded('adit-agent', words, result)
  }

  /** Starts the agent and waits until its tunnel carries data. */
  async start(timeoutMs = 30_000): Promise<Program> {
    const program = this.launch()
    await program.event(({ event }) => event === 'up', timeoutMs)
    return program
  }

  /** Starts the agent; `more`: further words after `run`. */
  launch(more: readonly string[] = []): Program {
    const { services = [], mqtt = 'off', suite = 'noise', prefix = [], bundle } = this.#options
    const given = this.#options.words ?? []
    const words = [
      'run',
      '--state',
      this.state,
      '--mqtt',
      mqtt,
      '--suite',
      suite,
      '--json',
      ...services.flatMap((service) => ['--service', service]),
      ...given,
      ...more,
    ]
    this.#program = Program.start('adit-agent', words, { prefix, ...(bundle !== undefined && { bundle }) })
    return this.#program
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.#program?.stop(signal)
    this.#program = undefined
  }

  async status<Status = JsonEvent>(): Promise<Status> {
    const words = ['status', '--state', this.state, '--json']
    return JSON.parse(succeeded('adit-agent', words, await run('adit-agent', words))) as Status
  }
}

/** An operator of the fleet: `adit` with a state folder. */
export class Operator {
  readonly state: string
  readonly env: Readonly<Record<string, string>>
  readonly prefix: readonly string[]

  constructor(state: string, prefix: readonly string[] = []) {
    this.state = state
    this.env = { ADIT_STATE: state }
    this.prefix = prefix
  }

  run(words: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<Finished> {
    return run('adit', words, { ...options, env: this.env, prefix: this.prefix })
  }

  /** A command that must succeed; returns what it says. */
  async must(words: readonly string[], options: { input?: string; timeoutMs?: number } = {}): Promise<string> {
    return succeeded('adit', words, await this.run(words, options))
  }

  /** A command that must be refused: one sentence with its mend on standard error, nothing on standard output. Returns the code. */
  async refused(words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(words)
    assert.notEqual(status, 0, `adit ${words.join(' ')} is refused`)
    assert.equal(stdout, '')
    const lines = stderr.trim().split('\n')
    assert.equal(lines.length, 1, stderr)
    const code = /^adit: [A-Z\w].*[.!?] .*\(([a-z-]+)\)$/.exec(lines[0]!)?.[1]
    assert.ok(code, `one sentence, its mend and a code, not: ${stderr}`)
    return code
  }
}

function succeeded(program: string, words: readonly string[], { status, stdout, stderr }: Finished): string {
  assert.equal(status, 0, `${program} ${words.join(' ')} ended with ${status}: ${stderr}${stdout}`)
  return stdout
}
