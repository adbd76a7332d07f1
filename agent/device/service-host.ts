import type { Service } from '#agent/core/service.ts'
import { LocalService } from '#agent/io/local-service.ts'
import type { Netstack, TcpSocket } from '#shared/netstack/netstack.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Admission } from './service-door.ts'

export interface ServiceStatus {
  readonly name: string
  readonly port: number
  readonly target: string
  readonly open: number
  readonly accepted: number
  readonly refused: number
  readonly lastRefusal: string | null
}

/**
 * Serves the configured services on the device's inner addresses; nothing else listens. Who may reach them, the broker decides, and under
 * a pinned fleet key this device too.
 */
export class ServiceHost {
  readonly #services: readonly LocalService[]
  readonly #listeners: { close(): void }[] = []
  #admission: Admission | undefined

  constructor(services: readonly Service[]) {
    this.#services = services.map((service) => new LocalService(service))
  }

  get services(): readonly Service[] {
    return this.#services.map(({ service }) => service)
  }

  /** `admission` is asked at each connection, and again whenever `recheck` is called; `onVisited` hears of each that has ended. */
  listen(netstack: Netstack, log: Log, admission: Admission, onVisited: (service: Service) => void = () => {}): void {
    this.#admission = admission
    for (const local of this.#services) {
      const { name, port, target } = local.service
      const accept = (socket: TcpSocket): void => {
        local.accept(socket)
        socket.once('close', () => onVisited(local.service))
      }
      const serve = async (socket: TcpSocket): Promise<void> => {
        const from = socket.remoteAddress
        if (admission.admits(from, port)) return accept(socket)
        // Who waits may leave.
        const left = (): unknown => socket.destroy()
        socket.on('error', left)
        const isReceived = await admission.receives(from, port)
        socket.off('error', left)
        if (socket.destroyed) return
        if (isReceived) return accept(socket)
        local.forbid(socket)
        log.warn({ service: name, from }, 'refused: no grant under the fleet key')
      }
      this.#listeners.push(netstack.listen({ port, allowHalfOpen: true }, (socket) => void serve(socket)))
      log.info({ service: name, port, target: `${target.address}:${target.port}` }, 'serving')
    }
  }

  /** What is no longer admitted ends. */
  recheck(): void {
    for (const local of this.#services) local.closeWhere((from) => this.#admission?.admits(from, local.service.port) === false)
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
