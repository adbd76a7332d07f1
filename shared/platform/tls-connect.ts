import type { Socket } from 'node:net'
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { judgeServer, type ServerProof, type Trust } from '#shared/pki/server-trust.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'
import { connectTcp, type HttpProxy } from './tcp-proxy.ts'

/** PEM: a private key and the chain that starts with its certificate. */
export interface ClientIdentity {
  key: string
  chain: string
}

/** Where TLS is spoken to whom. */
export interface TlsPlace {
  /** The name or address that the certificate must be for. */
  host: string
  /** The literal address to connect to; with a proxy, which resolves names itself, `host` again. */
  address: string
  port: number
  proxy?: HttpProxy | undefined
}

export interface TlsTarget extends TlsPlace {
  suite: Suite
  /** `'nobody'`: whoever answers is taken; nothing secret is to be written, and nothing to be believed that is not signed. */
  trust: Trust | 'nobody'
  identity?: ClientIdentity
  /** Judges certificates at this time or later (see judgeServer). */
  floor: WallTime
}

/** For connecting and the handshake together, in ms: an address that is silent makes room for the next. */
const connectTimeoutMs = 6_000
/** Certificates followed at most in what a server sent: as many as `parseChain` looks at. */
const chainLimit = 17

/** A connection on which nothing has been written yet, to a server that was proven to be the one meant. */
export async function connectTls(target: TlsTarget): Promise<{ socket: TLSSocket; proof: ServerProof | undefined }> {
  const { socket, chain } = await openTls(target, connectTimeoutMs, target.identity)
  if (target.trust === 'nobody') return { socket, proof: undefined }
  try {
    return { socket, proof: judgeServer(chain, target.host, target.trust, target.floor, target.suite) }
  } catch (error) {
    socket.destroy()
    throw refusal(error, target)
  }
}

/**
 * TLS with whoever answers, and the chain that was sent (DER, leaf first): the caller judges it, or treats what it writes as public.
 * Rejects as the system says where nobody answers or the answer is not TLS, and as `connectTcp` says of a proxy.
 */
export async function openTls(
  place: TlsPlace,
  timeoutMs: number,
  identity?: ClientIdentity,
): Promise<{ socket: TLSSocket; chain: Uint8Array[] }> {
  const started = performance.now()
  const { host, address, port, proxy } = place
  const tcp = await connectTcp({ host: proxy ? host : address, port, proxy, timeoutMs })
  const left = Math.max(1, timeoutMs - (performance.now() - started))
  const socket = await handshake(tcp, host, identity, left, `${address} does not answer`)
  return { socket, chain: chainOf(socket) }
}

function handshake(
  tcp: Socket,
  host: string,
  identity: ClientIdentity | undefined,
  timeoutMs: number,
  late: string,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const named = tryParseAddress(host) === undefined
    const socket = connect({
      socket: tcp,
      // OpenSSL would judge by the wall clock and the system's roots: the check is ours.
      rejectUnauthorized: false,
      // None, or Node would parse its hundred and forty of them: 1 MB, and 40 ms of a start.
      ca: [],
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      ...(named && { servername: host }),
      ...(identity && { key: identity.key, cert: identity.chain }),
    })
    const timer = setTimeout(() => socket.destroy(new Error(late)), timeoutMs)
    const failed = (error: Error): void => {
      clearTimeout(timer)
      tcp.destroy()
      reject(error)
    }
    const ended = (): void => failed(new Error('the connection ended within the TLS handshake'))
    socket.once('error', failed)
    socket.once('close', ended)
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      socket.off('error', failed)
      socket.off('close', ended)
      socket.setNoDelay(true)
      resolve(socket)
    })
  })
}

/** What the server sent, leaf first. */
function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (certificate?.raw !== undefined && chain.length < chainLimit) {
    chain.push(certificate.raw)
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate
    certificate = issuer === certificate ? undefined : issuer
  }
  return chain
}

function refusal(error: unknown, { host, port }: TlsPlace): unknown {
  if (!(error instanceof PkiError)) return error
  if (error.code === 'issuer-unknown' || error.code === 'signature-invalid') {
    const mend = 'Nothing was sent to it. Check the address; if the broker was set up anew, enrol again with a new claim.'
    return new AditError('ca-mismatch', `The server at ${host}:${port} is not the broker of this fleet.`, mend, { cause: error })
  }
  const mend = 'Nothing was sent to it. Check the certificate, names and clock of the broker.'
  const message = `The certificate of the broker at ${host}:${port} is not accepted: ${error.message}.`
  return new AditError('certificate-refused', message, mend, { cause: error })
}
