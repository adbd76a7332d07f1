import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type { FleetKeeper } from '#agent/io/fleet-keeper.ts'
import type { Tunnel } from '#agent/io/tunnel.ts'
import { believedDevice } from '#agent/operator/believed-device.ts'
import type { OperatorTunnel } from '#agent/operator/io/tunnel-server.ts'
import { withDevice } from '#agent/operator/known-hosts.ts'
import type { Device, OperatorApi } from '#agent/operator/operator-api.ts'
import { reachableAddress, requireGrantedPort } from '#agent/operator/reachable-device.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { type Clock, elapsed, seconds } from '#shared/time/instant.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

/** How long a tunnel may take to come up before a command gives up on it. */
const upPatience = seconds(15)
/** How long a device may take to accept a connection. */
const connectPatience = seconds(10)

interface BrokerTunnelOptions {
  tunnel: Tunnel
  api: OperatorApi
  /** Whom we believe about devices. */
  fleet: FleetKeeper
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

  async open(name: string, port: number): Promise<{ stream: Duplex; device: object }> {
    // Both at once, but what the broker says of the device is the better answer where the tunnel fails too.
    const up = this.#up()
    up.catch(() => {})
    const device = await this.device(name)
    const address = reachableAddress(device)
    requireGrantedPort(device, port)
    await up
    const stream = this.#options.tunnel.core.netstack.connect({ address, port, allowHalfOpen: true })
    stream.setNoDelay(true)
    const timer = this.#options.timers.setTimer(connectPatience, () => stream.destroy(silent(device.name, port)))
    try {
      await once(stream, 'connect')
    } catch (error) {
      throw error instanceof AditError ? error : refused(device.name, port, error)
    } finally {
      timer.clear()
    }
    return { stream, device }
  }

  async device(name: string): Promise<Device> {
    const device = believedDevice(await this.#options.api.device(checkName(name)), this.#options.fleet)
    await this.#pin(device)
    return device
  }

  status(): object {
    const { core } = this.#options.tunnel
    const { association } = core
    const endpoint = association?.endpoint
    const heard = association?.lastAuthentic
    return {
      state: core.state,
      pid: process.pid,
      endpoint: endpoint === undefined ? null : endpointText(endpoint),
      sinceSeconds: Math.round(elapsed(core.since, this.#options.clock.now()) / 1000),
      evidenceAgeSeconds: heard === undefined ? null : Math.round(elapsed(heard, this.#options.clock.now()) / 1000),
      addresses: this.#options.tunnel.config?.inner.addresses ?? [],
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
    if (!isUp) throw noTunnel(this.#options.tunnel.config?.broker.endpoints ?? [])
  }
}

const noTunnel = (endpoints: readonly string[]): AditError =>
  new AditError(
    'tunnel-unreachable',
    `The broker does not answer through UDP${endpoints.length === 0 ? '' : ` at ${endpoints.join(', ')}`}.`,
    'Check that this network lets UDP out to that address.',
  )

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
      `Give its agent the service: adit-agent run --service NAME=ADDR:PORT.`,
    )
  return new AditError(
    'device-offline',
    `${name} cannot be reached on port ${port} (${code ?? String(error)}).`,
    `See what is known: adit why ${name} --port ${port}.`,
  )
}
