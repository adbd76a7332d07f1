import { X509Certificate } from 'node:crypto'
import { rootCertificates } from 'node:tls'
import type { Suite } from '#shared/crypto/suite.ts'
import { isAditError } from '#shared/errors.ts'
import { judgeServer } from '#shared/pki/server-trust.ts'
import type { DatagramStream, StreamEvents } from '#shared/platform/datagram-stream.ts'
import { firstThatConnects } from '#shared/platform/tcp-first.ts'
import type { HttpProxy } from '#shared/platform/tcp-proxy.ts'
import { openTls } from '#shared/platform/tls-connect.ts'
import { openWebsocket, UpgradeRefused } from '#shared/platform/websocket-client.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import type { Finding } from './outer-finding.ts'
import { isPortal, probePortal } from './outer-portal.ts'
import type { FindProxy } from './outer-proxy.ts'

/** For TLS with one address, and for the answer to the request, ms. */
const TLS_MS = 5_000
const UPGRADE_MS = 5_000
/** Where portals look for the requests that they answer themselves. */
const HTTP_PORT = 80

export interface StreamSurroundings {
  readonly suite: Suite
  /** DER of the fleet's root. */
  root(): Uint8Array
  /** Never below the time floor. */
  time(): WallTime
  readonly proxy: FindProxy
  /** The addresses to try for a host. */
  resolve(host: string): Promise<readonly string[]>
}

type Observation = Omit<Finding, 'at'>

export type Attempt =
  /** `inspected`: the TLS ends at somebody else's. */
  | { kind: 'open'; stream: DatagramStream; inspected: Observation | undefined; via: HttpProxy | undefined }
  /** `why`: for the log. */
  | { kind: 'failed'; why: string; finding: Observation | undefined; address: string | undefined }

/**
 * One attempt at a WebSocket to `url`. What is written until the far end has said that it is one is public: host, path, and a proxy's
 * password to the proxy alone. The chain of its TLS is looked at to report, not to refuse (DESIGN D8).
 */
export async function attemptStream(url: URL, around: StreamSurroundings, events: StreamEvents): Promise<Attempt> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? 443 : Number(url.port)
  const proxy = around.proxy(host, port)
  const attempt = await through(proxy, { url, host, port }, around, events)
  // A proxy of another network than this one is no reason to stay away.
  if (attempt.kind === 'open' || proxy === undefined || attempt.finding !== undefined) return attempt
  const direct = await through(undefined, { url, host, port }, around, events)
  return direct.kind === 'open' ? direct : attempt
}

interface Place {
  readonly url: URL
  readonly host: string
  readonly port: number
}

async function through(
  proxy: HttpProxy | undefined,
  { url, host, port }: Place,
  around: StreamSurroundings,
  events: StreamEvents,
): Promise<Attempt> {
  const { suite } = around
  let address: string | undefined
  let stranger: string | undefined
  try {
    const candidates = proxy ? [host] : await around.resolve(host)
    if (candidates.length === 0) throw new Error(`no address is known for ${host}`)
    address = candidates[0]
    const tls = await firstThatConnects(candidates, (literal) => openTls({ host, address: literal, port, proxy }, TLS_MS))
    address = tls.address
    stranger = strangerIn(tls.chain, host, around)
    const path = url.pathname + url.search
    const stream = await openWebsocket(tls.socket, { suite, host: url.host, path, timeoutMs: UPGRADE_MS }, events)
    return { kind: 'open', stream, inspected: stranger === undefined ? undefined : inspected(url, stranger), via: proxy }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const finding = await findingOf(error, {
      host,
      address,
      url,
      isStranger: stranger !== undefined,
      proxied: proxy !== undefined,
    })
    return { kind: 'failed', why, finding, address }
  }
}

async function findingOf(
  error: unknown,
  asked: { host: string; address: string | undefined; url: URL; isStranger: boolean; proxied: boolean },
): Promise<Observation | undefined> {
  const { host, address, url, isStranger, proxied } = asked
  if (isAditError(error) && (error.code === 'proxy-auth' || error.code === 'proxy-refused'))
    return { code: error.code, text: error.message, mend: error.mend }
  if (error instanceof UpgradeRefused) {
    if (isStranger && isPortal(error.head, host)) return portal
    const text = `The server at ${url.host} takes no WebSocket: it answers ${error.head.status}.`
    return {
      code: 'stream-refused',
      text,
      mend: 'Check that this is the broker, or that what stands before it passes WebSockets on.',
    }
  }
  if (proxied || address === undefined || isAditError(error)) return undefined
  return (await probePortal(host, address, url.pathname, HTTP_PORT)) ? portal : undefined
}

const portal: Observation = {
  code: 'portal',
  text: 'This network answers in place of the internet: it wants somebody to log in to it (a captive portal).',
  mend: 'Log in to the network with a browser, or use another; the agent goes on by itself.',
}

const inspected = (url: URL, issuer: string): Observation => ({
  code: 'tls-inspected',
  text: `TLS to ${url.host} is opened on the way by "${issuer}". What is inside is protected by the tunnel itself.`,
  mend: 'Nothing need be done; whoever runs the network may exempt the broker from inspection.',
})

/** Who issued the chain, where it leads neither to the fleet's root nor to a public one for this host. */
function strangerIn(chain: readonly Uint8Array[], host: string, { root, time, suite }: StreamSurroundings): string | undefined {
  try {
    judgeServer(chain, host, { rootDer: root() }, time(), suite)
    return undefined
  } catch {
    return isPublic(chain, host) ? undefined : issuerOf(chain)
  }
}

/** By the roots that Node brings: an inspecting box is trusted by the system's store where its company has put it there. Dates aside. */
function isPublic(chain: readonly Uint8Array[], host: string): boolean {
  try {
    const path = chain.map((der) => new X509Certificate(der))
    const [leaf] = path
    if (leaf === undefined || (leaf.checkHost(host) ?? leaf.checkIP(host)) === undefined) return false
    const isLinked = path.every((one, at) => at === 0 || (path[at - 1]!.checkIssued(one) && path[at - 1]!.verify(one.publicKey)))
    const last = path.at(-1)!
    return isLinked && rootCertificates.some((pem) => isRootOf(new X509Certificate(pem), last))
  } catch {
    return false
  }
}

const isRootOf = (root: X509Certificate, last: X509Certificate): boolean =>
  root.subject === last.issuer && last.checkIssued(root) && last.verify(root.publicKey)

function issuerOf([leaf]: readonly Uint8Array[]): string {
  try {
    if (leaf === undefined) return 'nobody'
    const { issuer } = new X509Certificate(leaf)
    // It is shown to people: one line, and not for ever.
    return issuer
      .split('\n')
      .join(', ')
      .replace(/[^\x20-\x7e]/g, '?')
      .slice(0, 120)
  } catch {
    return 'an unreadable certificate'
  }
}

/** For messages; a password is no part of it. */
export const proxyText = ({ host, port }: HttpProxy): string => endpointText({ address: host, port })
