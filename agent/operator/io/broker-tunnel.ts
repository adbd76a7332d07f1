import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import type { FleetKeeper } from '#agent/io/fleet-keeper.ts'
import type { Tunnel } from '#agent/io/tunnel.ts'
import { believedDevice } from '#agent/operator/believed-device.ts'
import type { DirectDevices } from '#agent/operator/io/direct-devices.ts'
import type { OperatorTunnel } from '#agent/operator/io/tunnel-server.ts'
import { withDevice } from '#agent/operator/known-hosts.ts'
import type { Device, OperatorApi } from '#agent/operator/operator-api.ts'
import { reachableAddress, requireGrantedPort } from '#agent/operator/reachable-device.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, elapsed, type Instant, milliseconds, seconds } from '#shared/time/instant.ts'
import { carrierOf, endpointText } from '#shared/wire/endpoint.ts'

/** How long a tunnel may take to come up before a command gives up on it. */
const upPatience = seconds(15)
/** How long a device may take to accept a connection. */
const connectPatience = seconds(10)
/** An API that says nothing for so long is not waited for where the device itself can be met. */
const apiPatience = milliseconds(1_000)
/** How long a device is given to be met without a broker. */
const meetingPatience = milliseconds(2_500)
/** How long a direct way may take to be found where nothing else is wanted. */
const directPatience = seconds(8)

interface BrokerTunnelOptions {
  tunnel: Tunnel
  api: OperatorApi
  /** Whom we believe about devices. */
  fleet: FleetKeeper
  /** The devices that are sought beside the broker. */
  direct: DirectDevices
  timers: Timers
  clock: Clock
  /** `STATE/known_hosts`, which this process alone writes. */
  knownHosts: string
}

/** The operator's tunnel with the API beside it: names become addresses and pins, and every failure a sentence. */
export class BrokerTunnel implements OperatorTunnel {
  readonly #options: BrokerTunnelOptions
  /** Who waits for the tunnel to come up. */
  readonly #waiting = new Set<() => void>()
  #pinning: Promise<void> = Promise.resolve()

  constructor(options: BrokerTunnelOptions) {
    this.#options = options
  }

  /** The tunnel's owner says that it is up. */
  cameUp(): void {
    for (const go of this.#waiting) go()
  }

  async open(name: string, port: number, wish?: PathWish): Promise<{ stream: Duplex; device: object }> {
    const { tunnel, direct, timers } = this.#options
    // Both at once, but what the broker says of the device is the better answer where the tunnel fails too.
    const up = this.#up()
    up.catch(() => {})
    const device = await this.device(name, wish)
    const address = reachableAddress(device)
    requireGrantedPort(device, port)
    if (wish === 'direct') await this.#directOnly(device)
    else if (!direct.isDirect(device.name)) await up
    if (device.firstUseSealed) direct.requireSealed(device.name)
    const stream = tunnel.core.netstack.connect({ address, port, allowHalfOpen: true })
    stream.setNoDelay(true)
    const timer = timers.setTimer(connectPatience, () => stream.destroy(silent(device.name, port)))
    try {
      await once(stream, 'connect')
    } catch (error) {
      throw error instanceof AditError ? error : refused(device.name, port, error)
    } finally {
      timer.clear()
    }
    return { stream, device }
  }

  /**
   * As the broker describes it, sought directly from now on. Where the broker is silent, or has lost the device, what was known before
   * serves as soon as the device itself has been met.
   */
  async device(text: string, wish?: PathWish): Promise<Device> {
    const { direct, timers } = this.#options
    const name = checkName(text)
    const asked = this.#ask(name, wish)
    const known = direct.known(name)
    if (known === undefined || wish === 'relay') return asked
    direct.seek(known.device, wish)
    // While the hub is not up, whoever has been met need not be asked about.
    const isUp = this.#options.tunnel.core.state === 'up'
    let timer: Timer | undefined
    const late = isUp
      ? new Promise<undefined>((resolve) => {
          timer = timers.setTimer(apiPatience, () => resolve(undefined))
        })
      : direct.meets(name, apiPatience).then(() => undefined)
    const first = await Promise.race([asked, late]).catch((error: unknown) => toAditError(error))
    timer?.clear()
    if (first instanceof AditError && first.code !== 'broker-unreachable') throw first
    const isSeen = first !== undefined && !(first instanceof AditError)
    if (isSeen && first.state !== 'down') return first
    asked.catch(() => {})
    if (!(await direct.meets(name, meetingPatience))) return isSeen ? first : asked
    return { ...(isSeen ? first : known.device), state: 'up' }
  }

  async #ask(name: string, wish: PathWish | undefined): Promise<Device> {
    const { api, fleet, direct, tunnel } = this.#options
    fleet.configure(tunnel.config)
    const device = believedDevice(await api.device(name), fleet)
    await this.#pin(device)
    direct.seek(device, wish)
    return device
  }

  async #directOnly({ name }: Device): Promise<void> {
    const { direct } = this.#options
    if (await direct.meets(name, directPatience)) return
    const why = direct.refusal(name) ?? direct.statuses().find((status) => status.name === name)?.why?.text
    throw new AditError(
      'device-offline',
      `There is no direct way to ${name}. ${why ?? 'Nothing is known of it.'}`,
      'Leave --path direct out: the relay reaches it.',
    )
  }

  parting(name: string): AditError | undefined {
    return this.#options.direct.parting(name)
  }

  async status(): Promise<object> {
    const { tunnel, clock } = this.#options
    await tunnel.look()
    const { core, outer } = tunnel
    const { association, health } = core
    const age = (at: Instant | undefined): number | null =>
      at === undefined ? null : Math.round(elapsed(at, clock.now()) / 1000)
    const endpoint = association?.endpoint
    return {
      state: core.state,
      pid: process.pid,
      endpoint: endpoint === undefined ? null : (outer?.describe(endpoint) ?? endpointText(endpoint)),
      nat64: tunnel.nat64 ?? null,
      carrier: endpoint === undefined ? null : (carrierOf(endpoint) ?? 'udp'),
      suite: association?.suite ?? null,
      health: {
        state: health.state,
        sinceSeconds: age(health.since),
        evidence: health.evidence,
        evidenceAgeSeconds: age(health.evidenceAt),
      },
      findings: outer?.findings ?? [],
      sinceSeconds: age(core.since),
      evidenceAgeSeconds: age(association?.lastAuthentic),
      addresses: this.#options.tunnel.config?.inner.addresses ?? [],
      devices: this.#options.direct.statuses(),
    }
  }

  /** One write after the other, so that of twenty commands none undoes another's pin; unchanged pins are not written again. */
  #pin(device: Device): Promise<void> {
    const { knownHosts } = this.#options
    const turn = this.#pinning.then(async () => {
      const before = Buffer.from((await readIfPresent(knownHosts)) ?? []).toString('utf8')
      const after = withDevice(before, device.name, device.hostKeys.ssh?.keys ?? [])
      if (after !== before) await writeDurably(knownHosts, after)
    })
    this.#pinning = turn.catch(() => {})
    return turn
  }

  /** Resolves when the tunnel carries data; a rest between two rounds of asking is cut short for whoever waits. */
  async #up(): Promise<void> {
    const { core } = this.#options.tunnel
    if (core.state === 'up') return
    core.nudge()
    const isUp = await new Promise<boolean>((resolve) => {
      const finish = (up: boolean): void => {
        timer.clear()
        this.#waiting.delete(go)
        resolve(up)
      }
      const go = (): void => finish(true)
      const timer = this.#options.timers.setTimer(upPatience, () => finish(false))
      this.#waiting.add(go)
    })
    if (!isUp) throw noTunnel(this.#options.tunnel)
  }
}

/** What was met on the way says more than that nobody answered. */
function noTunnel({ config, outer }: Tunnel): AditError {
  const [finding] = outer?.findings.filter(({ code }) => code !== 'tls-inspected') ?? []
  if (finding) return new AditError('tunnel-unreachable', finding.text, finding.mend)
  const { endpoints = [], streams = [] } = config?.broker ?? {}
  const places = [...endpoints, ...streams]
  return new AditError(
    'tunnel-unreachable',
    `The broker does not answer${places.length === 0 ? '' : ` at ${places.join(', ')}`}.`,
    'Check that this network lets UDP, or TLS to one of those places, out; adit login --proxy names a proxy.',
  )
}

const silent = (name: string, port: number): AditError =>
  new AditError(
    'device-offline',
    `${name} does not answer on port ${port}.`,
    `See what is known: adit why ${name} --port ${port}.`,
  )

function refused(name: string, port: number, error: unknown): AditError {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EACCES')
    return new AditError(
      'forbidden',
      `The broker does not let you reach port ${port} of ${name}.`,
      'Ask an administrator for a grant.',
    )
  if (code === 'ECONNREFUSED' || code === 'ECONNRESET')
    return new AditError(
      'service-refused',
      `Nothing serves port ${port} of ${name}.`,
      `Give its agent the service (adit-agent run --service NAME=ADDR:PORT), or see what else keeps you out: adit why ${name} --port ${port}.`,
    )
  return new AditError(
    'device-offline',
    `${name} cannot be reached on port ${port} (${code ?? String(error)}).`,
    `See what is known: adit why ${name} --port ${port}.`,
  )
}
