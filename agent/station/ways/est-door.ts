import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { UnitDesk } from '#agent/station/unit-desk.ts'
import { toBase64 } from '#shared/bytes/base64.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { decodeBasic } from '#shared/enrolment/basic-credentials.ts'
import { heldHash } from '#shared/enrolment/held-certificate.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { encodeCertsOnly } from '#shared/pki/certs-only.ts'
import { oid, sequence } from '#shared/pki/der-writer.ts'
import { algorithms } from '#shared/pki/oids.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { Log } from '#shared/platform/log.ts'
import { isLanAddress, type LineAdmission, type LineRefusal } from './line-admission.ts'
import { type LineIdentity, type LineTerms, termsDocument } from './line-terms.ts'
import { heldEvidence } from './way.ts'

/**
 * The door at which the boards of a line enrol: EST (RFC 7030) over TLS, whose certificate is the station's own identity.
 *
 *   GET  /v1/enrolment                              the key that a tunnel key is proven against
 *   GET  /.well-known/est/cacerts, …/csrattrs       as anywhere
 *   POST /.well-known/est/SERIAL/simpleenroll       PKCS#10 -> the certificate; the label is the board's serial number
 *   GET  /v1/line/SERIAL                            what it needs besides: the chain, the root, the broker's addresses
 *   POST /v1/line/SERIAL/held                       {certificate: SHA-256 in hex}: it is on the board's disk
 *
 * The last three take the line's token (HTTP Basic). Each may be repeated: the same key gets the same certificate.
 */
export interface EstDoorParts {
  readonly desk: Pick<UnitDesk, 'certify' | 'enrolmentKey'>
  readonly identity: LineIdentity
  readonly terms: LineTerms
  readonly admission: LineAdmission
  readonly guests: LineGuests
  readonly suite: Suite
  readonly log: Log
}

/** Whom the line expects, and what becomes of them. */
export interface LineGuests {
  /** Whether a board with that serial number is expected now, or was served before. */
  expects(serial: string): Promise<boolean>
  /** The board has its identity on its disk. Resolves when that is on the station's. */
  held(serial: string, evidence: string): Promise<void>
}

const est = '/.well-known/est'
/** Largest request, in bytes. */
const bodyLimit = 16 * 1024
const connectionLimit = 256
/** For the head and for all of a request, ms. */
const patience = { headersTimeout: 5_000, requestTimeout: 15_000, keepAliveTimeout: 5_000 }
/** CsrAttrs (RFC 7030 §4.5.2): ecdsa-with-SHA256. */
const csrAttributes = sequence(oid(algorithms.ecdsaSha256))

interface Answer {
  readonly type: string
  readonly body: string
}

export class EstDoor {
  readonly #parts: EstDoorParts
  readonly #server: Server
  /** What each unit was given, so that it can ask for the rest of it. */
  readonly #given = new Map<string, { chain: string; root: string; name: string }>()
  /** PEM: whose issuers are told to whoever asks for them. */
  #lastChain = ''

  private constructor(parts: EstDoorParts) {
    this.#parts = parts
    const { keyPem, chainPem, rootPem } = parts.identity
    // With the root: a board knows no more of it than its hash.
    const tls = { key: keyPem, cert: chainPem + rootPem, minVersion: 'TLSv1.2' as const, handshakeTimeout: 5_000 }
    this.#server = createServer({ ...tls, ...patience }, (request, response) => void this.#serve(request, response))
    this.#server.maxConnections = connectionLimit
    this.#server.on('connection', (socket: Socket) => {
      if (!isLanAddress(socket.remoteAddress)) socket.destroy()
    })
    this.#server.on('tlsClientError', (error) => parts.log.debug({ error: error.message }, 'no TLS at the line'))
  }

  /** Throws AditError `port-in-use`. */
  static async open(parts: EstDoorParts, listen: { host?: string; port: number }): Promise<EstDoor> {
    const door = new EstDoor(parts)
    await new Promise<void>((resolve, reject) => {
      door.#server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(listen.port, cause)))
      door.#server.listen(listen.port, listen.host, resolve)
    })
    door.#server.on('error', (error) => parts.log.error({ error: error.message }, 'the door of the line'))
    return door
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  close(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { type, body } = await this.#answer(request)
      response.writeHead(200, { 'content-type': type, 'content-transfer-encoding': 'base64' }).end(body)
    } catch (error) {
      const problem = error instanceof AditError ? error : outward(error, this.#parts.log)
      // Whom the door turns away is logged there, with the reason that the board is not told.
      if (problem.code !== 'forbidden' && problem.code !== 'not-found' && problem.code !== 'internal')
        this.#parts.log.warn(
          { code: problem.code, message: problem.message, address: request.socket.remoteAddress },
          'a board is refused',
        )
      const status =
        problem.code === 'not-found' ? 404 : problem.code === 'forbidden' ? 403 : problem.code === 'internal' ? 500 : 400
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(problem))
    }
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const { identity, desk } = this.#parts
    const route = `${request.method} ${request.url}`
    if (route === 'GET /v1/enrolment') return json({ enrolmentKey: toBase64(desk.enrolmentKey) })
    if (route === `GET ${est}/csrattrs`) return der('application/csrattrs', csrAttributes)
    if (route === `GET ${est}/cacerts`) {
      const [, ...issuers] = decodePem('CERTIFICATE', this.#lastChain)
      const certificates = [...decodePem('CERTIFICATE', identity.rootPem), ...issuers]
      return der('application/pkcs7-mime; smime-type=certs-only', encodeCertsOnly(certificates))
    }
    const [, label, verb] =
      /^(?:POST \/\.well-known\/est|GET \/v1\/line|POST \/v1\/line)\/([^/]+)(\/simpleenroll|\/held|)$/.exec(route) ?? []
    if (label === undefined) throw new AditError('not-found', 'There is nothing of that kind here.', 'See RFC 7030.')
    const serial = checkSerial(decodeURIComponent(label))
    await this.#admit(request, serial)
    if (verb === '/simpleenroll') return this.#enrol(serial, await bodyOf(request))
    if (verb === '/held') return this.#held(serial, await bodyOf(request))
    return this.#terms(serial)
  }

  /** Throws AditError `forbidden` with one sentence, whatever the reason; the reason is logged. */
  async #admit(request: IncomingMessage, serial: string): Promise<void> {
    const { admission, guests, log } = this.#parts
    const address = request.socket.remoteAddress
    const refuse = (reason: LineRefusal): never => {
      log.warn({ reason, serial, address }, 'a board is refused at the line')
      throw notServed()
    }
    const refusal = admission.refusal(address, decodeBasic(request.headers.authorization))
    if (refusal) refuse(refusal)
    if (!(await guests.expects(serial))) refuse('not-expected')
    if (!admission.serve(serial)) refuse('quota')
  }

  async #enrol(serial: string, body: Buffer): Promise<Answer> {
    const request = new Uint8Array(Buffer.from(body.toString('latin1').replace(/\s+/g, ''), 'base64'))
    const given = await this.#parts.desk.certify(serial, request)
    this.#given.set(serial, given)
    this.#lastChain = given.chain
    const [leaf] = decodePem('CERTIFICATE', given.chain)
    return der('application/pkcs7-mime; smime-type=certs-only', encodeCertsOnly([leaf!]))
  }

  #terms(serial: string): Answer {
    const given = this.#given.get(serial)
    if (given === undefined) throw askFirst()
    return json({ ...given, ...termsDocument(this.#parts.terms) })
  }

  async #held(serial: string, body: Buffer): Promise<Answer> {
    const given = this.#given.get(serial)
    if (given === undefined) throw askFirst()
    const hash = heldHash(given.chain, this.#parts.suite)
    if (body.toString('latin1').trim() !== JSON.stringify({ certificate: hash })) throw notServed()
    await this.#parts.guests.held(serial, heldEvidence(hash))
    return json({})
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > bodyLimit) throw refused(`it is larger than ${bodyLimit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const der = (type: string, bytes: Uint8Array): Answer => ({ type, body: toBase64(bytes) })
const json = (document: object): Answer => ({ type: 'application/json', body: JSON.stringify(document) })

function outward(error: unknown, log: Log): AditError {
  if (error instanceof PkiError) return refused(error.message)
  if (error instanceof URIError) return refused('its address cannot be read')
  log.error({ error: String(error) }, 'a board could not be served')
  return new AditError('internal', 'The station could not do that.', 'Look at the log of the station.', {
    cause: toAditError(error),
  })
}

const refused = (why: string): AditError =>
  new AditError(
    'request-refused',
    `The certification request is refused: ${why}.`,
    'Send a PKCS#10 request in base64 (RFC 7030 §4.2.1).',
  )

const notServed = (): AditError =>
  new AditError('forbidden', 'This station does not serve this board now.', 'Scan the board at the station, and look at its log.')

const askFirst = (): AditError => new AditError('not-found', 'No certificate was asked for.', 'Ask by simpleenroll first.')

const cannotListen = (port: number, cause: NodeJS.ErrnoException): AditError =>
  cause.code === 'EADDRINUSE'
    ? new AditError('port-in-use', `Port ${port} is taken.`, 'Stop the other station here, or choose another port: --listen', {
        cause,
      })
    : new AditError(
        'network-failed',
        `The station cannot listen at port ${port}: ${cause.message}.`,
        'Choose another: --listen',
        { cause },
      )
