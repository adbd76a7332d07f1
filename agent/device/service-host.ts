import type { Service } from '#agent/core/service.ts'
import { LocalService } from '#agent/io/local-service.ts'
import type { Netstack, TcpSocket } from '#shared/netstack/netstack.ts'
import type { Log } from '#shared/platform/log.ts'

export interface ServiceStatus {
  readonly name: string
  readonly port: number
  readonly target: string
  readonly open: number
  readonly accepted: number
  readonly refused: number
  readonly lastRefusal: string | null
}

/** Serves the configured services on the device's inner addresses. Who may reach them, the broker decides; nothing else listens. */
export class ServiceHost {
  readonly #services: readonly LocalService[]
  readonly #listeners: { close(): void }[] = []

  constructor(services: readonly Service[]) {
    this.#services = services.map((service) => new LocalService(service))
  }

  get services(): readonly Service[] {
    return this.#services.map(({ service }) => service)
  }

  /** `onVisited` hears of each connection that has ended. */
  listen(netstack: Netstack, log: Log, onVisited: (service: Service) => void = () => {}): void {
    for (const local of this.#services) {
      const { name, port, target } = local.service
      const serve = (socket: TcpSocket): void => {
        local.accept(socket)
        socket.once('close', () => onVisited(local.service))
      }
      this.#listeners.push(netstack.listen({ port, allowHalfOpen: true }, serve))
      log.info({ service: name, port, target: `${target.address}:${target.port}` }, 'serving')
    }
  }

  status(): ServiceStatus[] {
    return this.#services.map(({ service: { name, port, target }, counters }) => ({
      name,
      port,
      target: `${target.address}:${target.port}`,
      open: counters.open,
      accepted: counters.accepted,
      refused: counters.refused,
      lastRefusal: counters.lastRefusal ?? null,
    }))
  }

  close(): void {
    for (const listener of this.#listeners) listener.close()
    for (const local of this.#services) local.close()
  }
}
