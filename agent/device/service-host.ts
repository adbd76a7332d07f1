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

/** Whether whoever is at this inner address may open this inner port. */
export type Admission = (from: string, port: number) => boolean

/**
 * Serves the configured services on the device's inner addresses; nothing else listens. Who may reach them, the broker decides, and under
 * a pinned fleet key this device too.
 */
export class ServiceHost {
  readonly #services: readonly LocalService[]
  readonly #listeners: { close(): void }[] = []
  #admits: Admission = () => true

  constructor(services: readonly Service[]) {
    this.#services = services.map((service) => new LocalService(service))
  }

  get services(): readonly Service[] {
    return this.#services.map(({ service }) => service)
  }

  /** `admits` is asked at each connection, and again whenever `recheck` is called; `onVisited` hears of each that has ended. */
  listen(netstack: Netstack, log: Log, admits: Admission, onVisited: (service: Service) => void = () => {}): void {
    this.#admits = admits
    for (const local of this.#services) {
      const { name, port, target } = local.service
      const serve = (socket: TcpSocket): void => {
        if (!admits(socket.remoteAddress, port)) {
          local.forbid(socket)
          log.warn({ service: name, from: socket.remoteAddress }, 'refused: no grant under the fleet key')
          return
        }
        local.accept(socket)
        socket.once('close', () => onVisited(local.service))
      }
      this.#listeners.push(netstack.listen({ port, allowHalfOpen: true }, serve))
      log.info({ service: name, port, target: `${target.address}:${target.port}` }, 'serving')
    }
  }

  /** What is no longer admitted ends. */
  recheck(): void {
    for (const local of this.#services) local.closeWhere((from) => !this.#admits(from, local.service.port))
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
