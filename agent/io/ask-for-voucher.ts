import { request as httpRequest } from 'node:http'
import type { TLSSocket } from 'node:tls'
import type { Suite } from '#shared/crypto/suite.ts'
import { nonceLength, signVoucherRequest } from '#shared/enrolment/voucher-request.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { readAnswer } from '#shared/platform/read-answer.ts'
import { resolveHost } from '#shared/platform/resolve-host.ts'
import { channelProofOn } from '#shared/platform/tls.ts'
import { openTls } from '#shared/platform/tls-connect.ts'
import { type BoardIdentity, boardProof } from './board-identity.ts'
import { bodyOf } from './broker-api.ts'
import type { FindProxy } from './outer-proxy.ts'

/** RFC 8366 §8.3. */
const voucherType = 'application/voucher-cms+json'
const path = '/.well-known/brski/requestvoucher'
const timeoutMs = 8_000
/** Longest answer read, in bytes. */
const answerLimit = 64 * 1024

/**
 * Asks whoever answers at `url` (`https://HOST:PORT`) whose this board is (RFC 8995 §5.2). Nobody has told the board yet whom to trust, so
 * that what it says is public: its IDevID, its serial number, a nonce. The answer counts by its maker's signature alone. Throws AditError
 * `broker-unreachable`, or what the refusal says.
 */
export async function askForVoucher(
  url: string,
  board: BoardIdentity,
  { suite, proxy }: { suite: Suite; proxy: FindProxy },
): Promise<{ voucher: Uint8Array; nonce: Uint8Array }> {
  const place = new URL(url)
  const host = place.hostname.replace(/^\[|\]$/g, '')
  const port = place.port === '' ? 443 : Number(place.port)
  try {
    const through = proxy(host, port)
    const [address] = through ? [host] : await resolveHost(host, { lastGood: [] })
    if (address === undefined) throw new Error(`no address is known for ${host}`)
    const { identity, channelIdentity } = boardProof(board)
    const { socket, chain } = await openTls({ host, address, port, proxy: through }, timeoutMs, identity)
    try {
      const [registrarCert] = chain
      if (registrarCert === undefined) throw new Error('the server has no certificate')
      const nonce = suite.random(nonceLength)
      const said = { serial: board.serial, nonce, registrarCert }
      const signer = { certificate: board.leaf, pair: board.key }
      const proof = channelIdentity && channelProofOn(socket, channelIdentity, suite)
      const answer = await post(socket, { host: place.host, ...proof }, signVoucherRequest(said, signer, board.issuers, suite))
      return { voucher: Uint8Array.from(bodyOf({ ...answer, headers: {}, address })), nonce }
    } finally {
      socket.destroy()
    }
  } catch (error) {
    if (isAditError(error)) throw error
    const why = error instanceof Error ? error.message : String(error)
    const mend = 'Check the network, and that the broker runs and is reachable at this address.'
    throw new AditError('broker-unreachable', `The broker at ${place.host} does not answer: ${why}.`, mend, { cause: error })
  }
}

function post(socket: TLSSocket, named: Record<string, string>, body: Uint8Array): Promise<{ status: number; body: Uint8Array }> {
  return new Promise((resolve, reject) => {
    const headers = { ...named, accept: voucherType, 'content-type': voucherType, 'content-length': String(body.length) }
    const outgoing = httpRequest({ method: 'POST', path, headers, createConnection: () => socket })
    const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)), timeoutMs)
    const settle = (act: () => void): void => {
      clearTimeout(timer)
      act()
    }
    outgoing.once('error', (error) => settle(() => reject(error)))
    outgoing.once('response', (incoming) => {
      readAnswer(incoming, answerLimit).then(
        (bytes) => settle(() => resolve({ status: incoming.statusCode ?? 0, body: bytes })),
        (error) => settle(() => reject(error)),
      )
    })
    outgoing.end(body)
  })
}
