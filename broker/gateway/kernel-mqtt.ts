import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '#shared/platform/log.ts'

/** MQTT at the broker's inner addresses by the kernel's TCP, where a TUN brings the tunnels' packets to it. */
export class KernelMqtt {
  readonly #servers: readonly Server[]

  private constructor(servers: readonly Server[]) {
    this.#servers = servers
  }

  /** Nothing but what has come through a tunnel, by its checked source address, gets to these addresses. */
  static async listen(
    addresses: readonly string[],
    port: number,
    accept: (socket: Socket) => void,
    log: Log,
  ): Promise<KernelMqtt> {
    const servers = await Promise.all(addresses.map((host) => listen(host, port, accept)))
    log.info({ addresses, port }, "MQTT by the kernel's TCP")
    return new KernelMqtt(servers)
  }

  close(): void {
    for (const server of this.#servers) server.close()
  }
}

function listen(host: string, port: number, accept: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: false }, (socket) => {
    socket.on('error', () => socket.destroy())
    accept(socket)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => resolve(server))
  })
}
