import { equalPublic } from '#shared/bytes/equal.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Claim } from '#shared/enrolment/claim.ts'
import { AditError, type ErrorCode, exitStatuses } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { decodeCertsOnly } from '#shared/pki/certs-only.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { createRequest } from '#shared/pki/request.ts'

/**
 * The client of Enrolment over Secure Transport (RFC 7030): what is asked and how answers are read. It opens nothing: `exchange` is
 * the transport, over which the server was proven before a byte of a claim is written.
 */
export type EstTransport = (request: EstRequest) => Promise<EstAnswer>

export interface EstRequest {
  /** Path and query on the API: `/.well-known/est/simpleenroll`. */
  path: string
  method: 'GET' | 'POST'
  headers: Record<string, string>
  body?: string
}

export interface EstAnswer {
  status: number
  body: Uint8Array
}

/** The agent's own keys. */
export interface OwnKeys {
  /** P-256. */
  identity: KeyPair
  /** X25519. */
  tunnel: KeyPair
}

export interface Enrolled {
  /** The certificate. */
  certificate: Certificate
  /** PEM of the certificate and its issuing CA, where one was found: what TLS presents. */
  chainPem: string
}

const prefix = '/.well-known/est'

/** Turns a claim into a certificate. The server forgets nothing by a repetition: the same claim and key give the same certificate. */
export async function enrol(claim: Claim, keys: OwnKeys, exchange: EstTransport, suite: Suite): Promise<Enrolled> {
  const user = Buffer.from(claim.id).toString('hex')
  const password = Buffer.from(claim.secret).toString('hex')
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  return certify(`${prefix}/simpleenroll`, 'new', { authorization }, keys, exchange, suite)
}

/** Turns the present certificate, which the transport shows, into its successor; `name` is its subject. */
export const renew = (name: string, keys: OwnKeys, exchange: EstTransport, suite: Suite): Promise<Enrolled> =>
  certify(`${prefix}/simplereenroll`, name, {}, keys, exchange, suite)

async function certify(
  path: string,
  name: string,
  credentials: Record<string, string>,
  keys: OwnKeys,
  exchange: EstTransport,
  suite: Suite,
): Promise<Enrolled> {
  const enrolmentKey = readEnrolmentKey(await ask(exchange, { path: '/v1/enrolment', method: 'GET', headers: json }))
  const request = createRequest({ name, identity: keys.identity, tunnel: { pair: keys.tunnel, enrolmentKey } }, suite)
  const answer = await ask(exchange, {
    path,
    method: 'POST',
    headers: { ...json, ...credentials, 'content-type': 'application/pkcs10', 'content-transfer-encoding': 'base64' },
    body: Buffer.from(request).toString('base64'),
  })
  const certificate = findOwn(readCertificates(answer), keys)
  const issuers = readCertificates(await ask(exchange, { path: `${prefix}/cacerts`, method: 'GET', headers: json }))
  const issuer = issuers.find((ca) => ca.subjectKey === certificate.issuerKey)
  const chain = issuer === undefined ? [certificate] : [certificate, issuer]
  return { certificate, chainPem: chain.map(({ der }) => encodePem('CERTIFICATE', der)).join('') }
}

/** Errors come as JSON with their code, which stock servers do not know. */
const json = { accept: 'application/json, */*' }

async function ask(exchange: EstTransport, request: EstRequest): Promise<Uint8Array> {
  const { status, body } = await exchange(request)
  if (status === 200) return body
  throw readError(status, body)
}

/** An answer's error as the AditError that it was. */
export function readError(status: number, body: Uint8Array): AditError {
  const text = Buffer.from(body).toString('utf8')
  try {
    const { error, message, mend } = JSON.parse(text) as Record<string, unknown>
    if (
      typeof error === 'string' &&
      Object.hasOwn(exitStatuses, error) &&
      typeof message === 'string' &&
      typeof mend === 'string'
    ) {
      return new AditError(error as ErrorCode, message, mend)
    }
  } catch {
    // Not JSON: the status says what there is to say.
  }
  if (status === 202) return new AditError('request-refused', 'The broker has not yet approved the request.', 'Try again later.')
  const code = status === 401 || status === 403 ? 'forbidden' : status >= 500 ? 'broker-unreachable' : 'request-refused'
  return new AditError(code, `The broker answered with HTTP status ${status}.`, 'Look into the log of the broker.')
}

function readEnrolmentKey(body: Uint8Array): Uint8Array {
  try {
    const { enrolmentKey } = JSON.parse(Buffer.from(body).toString('utf8')) as { enrolmentKey?: unknown }
    const key = typeof enrolmentKey === 'string' ? Buffer.from(enrolmentKey, 'base64') : undefined
    if (key?.length === 32) return new Uint8Array(key)
  } catch {
    // The sentence below says it.
  }
  throw unreadable('its enrolment key cannot be read')
}

/** Base64 of certs-only CMS (RFC 7030 §4.2.3, RFC 8951), or the DER itself, as some servers send it. */
function readCertificates(body: Uint8Array): Certificate[] {
  try {
    const der = body[0] === 0x30 ? body : new Uint8Array(Buffer.from(Buffer.from(body).toString('latin1'), 'base64'))
    return decodeCertsOnly(der).map((certificate) => parseCertificate(certificate))
  } catch (error) {
    if (error instanceof PkiError) throw unreadable(error.message, error)
    throw error
  }
}

/** The certificate for our key and tunnel key: another's would leave us with an identity whose key we do not have. */
function findOwn(certificates: readonly Certificate[], keys: OwnKeys): Certificate {
  const spki = p256Spki(keys.identity.publicKey)
  const own = certificates.find((certificate) => equalPublic(certificate.spki, spki))
  if (own === undefined) throw unreadable('it certified another key than ours')
  const bound = own.extensions.tunnelKey
  if (bound !== undefined && !equalPublic(bound, keys.tunnel.publicKey)) throw unreadable('it bound another tunnel key than ours')
  return own
}

const unreadable = (why: string, cause?: unknown): AditError =>
  new AditError(
    'request-refused',
    `The broker's answer cannot be used: ${why}.`,
    'Check that agent and broker are of matching versions.',
    {
      cause,
    },
  )
