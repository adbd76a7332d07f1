import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LineView } from '#agent/station/screen/line-state.ts'
import type { LineWatch } from '#agent/station/screen/line-watch.ts'
import { PageAccess } from '#agent/station/screen/page/page-access.ts'
import { pageDocument, pageScript, pageStyle } from '#agent/station/screen/page/page-document.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'

export interface PageServerOptions {
  readonly watch: LineWatch
  readonly suite: Pick<Suite, 'random' | 'hash'>
  readonly host: string
  /** 0: any. */
  readonly port: number
  /** There is another address to show: the one before was used. */
  onUrl(url: string): void
}

/** Everything comes from us, nothing runs that is not a file of ours, nobody frames us. */
const headers = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const

const files: Record<string, [type: string, text: string]> = {
  '/': ['text/html; charset=utf-8', pageDocument],
  '/line.css': ['text/css; charset=utf-8', pageStyle],
  '/line.js': ['text/javascript; charset=utf-8', pageScript],
}

const cookieName = 'adit-line'
const mostConnections = 64
/** A tablet that takes nothing for so many bytes is cut off, and comes back by itself. */
const backlogLimit = 256 * 1024

/** The line's page on one address of this machine: to be looked at, with nothing to press that changes anything here. */
export class PageServer {
  readonly #options: PageServerOptions
  readonly #access: PageAccess
  readonly #server: Server
  readonly #streams = new Set<ServerResponse>()
  readonly #unlisten: () => void

  private constructor(options: PageServerOptions) {
    this.#options = options
    this.#access = new PageAccess(options.suite)
    this.#server = createServer({ maxHeaderSize: 8 * 1024, requestTimeout: 10_000 }, (request, response) =>
      this.#answer(request, response),
    )
    this.#server.maxConnections = mostConnections
    this.#unlisten = options.watch.listen({ view: (view) => this.#tell(view) })
  }

  /** Throws AditError `port-in-use`, or `usage` for an address that is not ours. */
  static async open(options: PageServerOptions): Promise<PageServer> {
    const page = new PageServer(options)
    await new Promise<void>((resolve, reject) => {
      page.#server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(options, error)))
      page.#server.listen(options.port, options.host, resolve)
    })
    return page
  }

  /** Good for one visit. */
  get url(): string {
    const { address, port, family } = this.#server.address() as AddressInfo
    const host = family === 'IPv6' ? `[${address}]` : address
    return `http://${host}:${port}/open/${this.#access.token}`
  }

  async close(): Promise<void> {
    this.#unlisten()
    for (const stream of this.#streams) stream.end()
    const closed = new Promise((done) => this.#server.close(done))
    this.#server.closeAllConnections()
    await closed
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '/'
    const file = Object.hasOwn(files, path) ? files[path] : undefined
    if (request.method !== 'GET') refuse(response, 405, 'This page is to be looked at.')
    else if (path.startsWith('/open/')) this.#open(path.slice('/open/'.length), response)
    else if (!this.#access.admits(cookieOf(request))) refuse(response, 403, 'Use the address that the station shows now.')
    else if (path === '/events') this.#stream(response)
    else if (file === undefined) refuse(response, 404, 'There is no such page.')
    else response.writeHead(200, { ...headers, 'content-type': file[0] }).end(file[1])
  }

  #open(token: string, response: ServerResponse): void {
    const visitor = this.#access.redeem(token)
    if (visitor === undefined) refuse(response, 403, 'This address was used, or is old. Use the one that the station shows now.')
    else {
      // Lax: what a tablet's scanner opens comes from elsewhere, and there is nothing here that a visit could change.
      const cookie = `${cookieName}=${visitor}; HttpOnly; SameSite=Lax; Path=/`
      response.writeHead(303, { ...headers, location: '/', 'set-cookie': cookie }).end()
      this.#options.onUrl(this.url)
    }
  }

  #stream(response: ServerResponse): void {
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream' })
    this.#streams.add(response)
    response.once('close', () => this.#streams.delete(response))
    response.write(frame(this.#options.watch.view))
  }

  #tell(view: LineView): void {
    const text = frame(view)
    for (const stream of this.#streams)
      if (stream.writableLength > backlogLimit) stream.destroy()
      else stream.write(text)
  }
}

/** JSON has no line ends of its own. */
const frame = (view: LineView): string => `event: view\ndata: ${JSON.stringify(view)}\n\n`

function cookieOf({ headers: { cookie = '' } }: IncomingMessage): string {
  const found = cookie.split(/; */).find((pair) => pair.startsWith(`${cookieName}=`))
  return found?.slice(cookieName.length + 1) ?? ''
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { ...headers, 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
}

function cannotListen({ host, port }: PageServerOptions, error: NodeJS.ErrnoException): AditError {
  if (error.code === 'EADDRINUSE')
    return new AditError('port-in-use', `Port ${port} of ${host} is in use.`, 'Choose another, as in --page 8090.', {
      cause: error,
    })
  return new AditError('usage', `The page cannot be at ${host}:${port}: ${error.message}.`, 'Give an address of this machine.', {
    cause: error,
  })
}
