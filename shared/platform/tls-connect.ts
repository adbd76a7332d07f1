import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { judgeServer, type ServerProof, type Trust } from '#shared/pki/server-trust.ts'
import type { WallTime } from '#shared/time/instant.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'

/** PEM: a private key and the chain that starts with its certificate. */
export interface ClientIdentity {
  key: string
  chain: string
}

export interface TlsTarget {
  suite: Suite
  trust: Trust
  identity?: ClientIdentity
  /** The name or address that the certificate must be for. */
  host: string
  /** The literal address to connect to. */
  address: string
  port: number
  /** Judges certificates at this time or later (see judgeServer). */
  floor: WallTime
}

/** For connecting and the handshake together, in ms: an address that is silent makes room for the next. */
const connectTimeoutMs = 6_000
/** Certificates followed at most in what a server sent. */
const chainLimit = 10

/** A connection on which nothing has been written yet, to a server that was proven to be the one meant. */
export function connectTls(target: TlsTarget): Promise<{ socket: TLSSocket; proof: ServerProof }> {
  return new Promise((resolve, reject) => {
    const named = tryParseAddress(target.host) === undefined
    const socket = connect({
      host: target.address,
      port: target.port,
      // OpenSSL would judge by the wall clock and the system's roots: the check is ours, below.
      rejectUnauthorized: false,
      // None, or Node would parse its hundred and forty of them: 1 MB, and 40 ms of a start.
      ca: [],
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      ...(named && { servername: target.host }),
      ...(target.identity && { key: target.identity.key, cert: target.identity.chain }),
    })
    const timer = setTimeout(() => socket.destroy(new Error(`${target.address} does not answer`)), connectTimeoutMs)
    socket.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    socket.once('secureConnect', () => {
      clearTimeout(timer)
      try {
        const proof = judgeServer(chainOf(socket), target.host, target.trust, target.floor, target.suite)
        socket.setNoDelay(true)
        resolve({ socket, proof })
      } catch (error) {
        socket.destroy()
        reject(refusal(error, target))
      }
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

function refusal(error: unknown, { host, port }: TlsTarget): unknown {
  if (!(error instanceof PkiError)) return error
  if (error.code === 'issuer-unknown' || error.code === 'signature-invalid') {
    const mend = 'Nothing was sent to it. Check the address; if the broker was set up anew, enrol again with a new claim.'
    return new AditError('ca-mismatch', `The server at ${host}:${port} is not the broker of this fleet.`, mend, { cause: error })
  }
  const mend = 'Nothing was sent to it. Check the certificate, names and clock of the broker.'
  const message = `The certificate of the broker at ${host}:${port} is not accepted: ${error.message}.`
  return new AditError('certificate-refused', message, mend, { cause: error })
}
