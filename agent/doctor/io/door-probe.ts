import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import type { Door } from '#agent/doctor/examination.ts'
import type { DoorFact, TlsFact } from '#agent/doctor/facts.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { judgeServer, type Trust } from '#shared/pki/server-trust.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'
import { readHead } from './http-head.ts'
import { openTcp } from './tcp.ts'

/** For a handshake or a head, ms. */
const patienceMs = 4_000
const chainLimit = 10

export interface DoorJudge {
  readonly suite: Suite
  /** Undefined before enrolment: then nobody is proven. */
  readonly trust: Trust | undefined
  /** Certificates are judged at this time or later. */
  readonly floor: WallTime
}

/** Connects to an HTTPS server, sees whose certificate it shows, and asks for what anybody may ask: no secret, no certificate of ours. */
export async function probeDoor(door: Door, judge: DoorJudge, through?: Socket): Promise<DoorFact> {
  const fact = { host: door.host, endpoint: door.endpoint, ...(through && { proxied: true }) }
  const opened = through ? { socket: through } : await openTcp(door.endpoint)
  if ('reached' in opened) return { ...fact, reached: opened.reached }
  const handshake = await shakeHands(opened.socket, door.host)
  try {
    if (typeof handshake === 'string') return { ...fact, reached: 'open', tls: { kind: handshake } }
    const tls = judgement(handshake, door.host, judge)
    const head = await readHead(handshake, requestOf(door), patienceMs)
    const date = tls.kind === 'proven' ? Date.parse(head?.headers.date ?? '') : Number.NaN
    return {
      ...fact,
      reached: 'open',
      tls,
      ...(head && { status: head.status }),
      ...(Number.isFinite(date) && { date: wallTime(date) }),
    }
  } finally {
    opened.socket.destroy()
  }
}

function shakeHands(socket: Socket, host: string): Promise<TLSSocket | 'stalled' | 'no-tls'> {
  return new Promise((resolve) => {
    const named = tryParseAddress(host) === undefined
    const tls = connectTls({
      socket,
      rejectUnauthorized: false,
      ca: [],
      ALPNProtocols: ['http/1.1'],
      ...(named && { servername: host }),
    })
    const timer = setTimeout(() => resolve('stalled'), patienceMs)
    const end = (outcome: TLSSocket | 'no-tls'): void => {
      clearTimeout(timer)
      resolve(outcome)
    }
    tls.on('error', () => end('no-tls'))
    tls.once('close', () => end('no-tls'))
    tls.once('secureConnect', () => end(tls))
  })
}

function judgement(socket: TLSSocket, host: string, { suite, trust, floor }: DoorJudge): TlsFact {
  const { ders, issuer } = chainOf(socket)
  if (trust === undefined) return { kind: 'unjudged', issuer }
  try {
    judgeServer(ders, host, trust, floor, suite)
    return { kind: 'proven' }
  } catch (error) {
    if (!(error instanceof PkiError)) return { kind: 'other-issuer', issuer }
    const alien = error.code === 'issuer-unknown' || error.code === 'signature-invalid'
    return alien ? { kind: 'other-issuer', issuer } : { kind: 'unusable', why: error.message }
  }
}

/** What the server sent, leaf first, and who stands at its end. */
function chainOf(socket: TLSSocket): { ders: Uint8Array[]; issuer: string } {
  const ders: Uint8Array[] = []
  let issuer = 'nobody'
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  while (certificate?.raw !== undefined && ders.length < chainLimit) {
    ders.push(certificate.raw)
    const { CN, O } = certificate.issuer
    issuer = [CN ?? O ?? issuer].flat()[0]!.slice(0, 100)
    const next: DetailedPeerCertificate | undefined = certificate.issuerCertificate
    certificate = next === certificate ? undefined : next
  }
  return { ders, issuer }
}

function requestOf({ kind, url, host }: Door): string {
  const { pathname, port } = new URL(url)
  const authority = `${host.includes(':') ? `[${host}]` : host}${port === '' ? '' : `:${port}`}`
  if (kind === 'api') return `GET /healthz HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`
  const key = randomBytes(16).toString('base64')
  return (
    `GET ${pathname} HTTP/1.1\r\nHost: ${authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`
  )
}
