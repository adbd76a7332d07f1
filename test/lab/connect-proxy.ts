import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** An HTTP proxy of a test's own that knows CONNECT alone (RFC 9110 §9.3.6), with a list of who came and a knife. */
export class ConnectProxy {
  /** `host:port` of each connection that was led on, and the credentials that were shown. */
  readonly led: { target: string; credentials: string | undefined }[] = []
  refused = 0
  readonly #server: Server
  readonly #open = new Set<Socket>()
  #credentials: string | undefined

  private constructor(credentials: string | undefined) {
    this.#credentials = credentials
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** `credentials`: `USER:PASSWORD` that it asks for. Ends with the test. */
  static async start(t: Pick<TestContext, 'after'>, credentials?: string): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(credentials)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    t.after(() => {
      proxy.#server.close()
      proxy.cut()
    })
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Asks for another `USER:PASSWORD` from now on. */
  ask(credentials: string): void {
    this.#credentials = credentials
  }

  /** Connections under way, both sides counted. */
  get open(): number {
    return this.#open.size
  }

  /** Ends every connection with a reset. */
  cut(): void {
    for (const socket of this.#open) socket.resetAndDestroy()
  }

  #accept(socket: Socket): void {
    this.#keep(socket)
    let head = ''
    const take = (chunk: Buffer): void => {
      head += chunk.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', take)
      socket.pause()
      this.#answer(socket, head)
    }
    socket.on('data', take)
  }

  #answer(socket: Socket, head: string): void {
    const target = /^CONNECT (\S+):(\d+) HTTP\/1\.1\r\n/.exec(head)
    const shown = /^proxy-authorization: basic (\S+)\r?$/im.exec(head)?.[1]
    const credentials = shown && Buffer.from(shown, 'base64').toString('utf8')
    if (target === null || (this.#credentials !== undefined && credentials !== this.#credentials)) {
      this.refused++
      const status =
        target === null ? '405 Method Not Allowed' : '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"'
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`)
      socket.resume()
      return
    }
    const [, host = '', port] = target
    this.led.push({ target: `${host}:${port}`, credentials })
    const onward = connect(Number(port), host.replace(/^\[|\]$/g, ''))
    this.#keep(onward)
    onward.on('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
  }

  #keep(socket: Socket): void {
    this.#open.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#open.delete(socket)
    })
  }
}
