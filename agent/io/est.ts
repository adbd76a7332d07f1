import { X509Certificate } from 'node:crypto'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type BasicCredentials, encodeBasic } from '#shared/enrolment/basic-credentials.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodeCertsOnly } from '#shared/pki/certs-only.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { createRequest } from '#shared/pki/request.ts'
import { ApprovalPending } from './approval.ts'
import { bodyOf, documentOf, firstThatAnswers, type Requester } from './broker-api.ts'
import type { AgentKeys } from './state-folder.ts'

const EST = '/.well-known/est'
/** How long the broker may think about a request, in ms: its hook has 5 s. */
const DECISION_PATIENCE_MS = 12_000
/** Patience with the whole of a broker that does not answer, shared among its URLs. */
const PATIENCE_MS = 9_000
const LEAST_PATIENCE_MS = 3_000
const REQUEST_HEADERS = {
  'content-type': 'application/pkcs10',
  'content-transfer-encoding': 'base64',
  // A refusal then comes with its stable code; certificates come as RFC 7030 says.
  accept: 'application/pkcs7-mime, application/json',
}

/** One URL of the API, and how it is spoken to. */
export interface EstServer {
  readonly https: Requester
  readonly url: string
  readonly timeoutMs: number
}

export interface CertificateWish {
  readonly keys: AgentKeys
  readonly name: string
  /** A claim's, for a first certificate. */
  readonly credentials?: BasicCredentials
  /** Whether it is the first one: with credentials, or by the IDevID that the connection shows. */
  readonly first?: boolean
  /** What the ratchet gave to whom a copy has the same keys. */
  readonly ticket?: string | undefined
  /** What this unit says its serial number is, for claims that list numbers. */
  readonly serial?: string | undefined
}

/** Asks a broker under each of its URLs in turn, until one answers. */
export function eachUrl<T>(urls: readonly string[], https: Requester, ask: (server: EstServer) => Promise<T>): Promise<T> {
  const timeoutMs = Math.max(LEAST_PATIENCE_MS, PATIENCE_MS / urls.length)
  return firstThatAnswers(urls, (url) => ask({ https, url, timeoutMs }))
}

/** The CA's X25519 key, to which the tunnel key is proven. */
export async function fetchEnrolmentKey({ https, url, timeoutMs }: EstServer): Promise<Uint8Array> {
  const { enrolmentKey } = documentOf(await https.request({ url: `${url}/v1/enrolment`, timeoutMs })) as {
    enrolmentKey?: unknown
  }
  const key = new Uint8Array(Buffer.from(typeof enrolmentKey === 'string' ? enrolmentKey : '', 'base64'))
  if (key.length !== 32) throw unusable('an enrolment key')
  return key
}

/**
 * Asks for a certificate (RFC 7030 §4.2): with a claim's credentials for the first, without for the next one, where the certificate in
 * use speaks for itself. Returns the chain as PEM, leaf first; throws ApprovalPending where a person is to decide.
 */
export async function requestCertificate(
  server: EstServer,
  { keys, name, credentials, ticket, serial, first = credentials !== undefined }: CertificateWish,
  suite: Suite,
): Promise<string> {
  const enrolmentKey = await fetchEnrolmentKey(server)
  const tunnel = { pair: keys.tunnel, enrolmentKey }
  const request = createRequest({ name, identity: keys.identity, tunnel, ...(serial !== undefined && { serial }) }, suite)
  const { https, url, timeoutMs } = server
  const response = await https.request({
    url: `${url}${EST}/${first ? 'simpleenroll' : 'simplereenroll'}`,
    method: 'POST',
    headers: {
      ...REQUEST_HEADERS,
      ...(credentials && { authorization: encodeBasic(credentials) }),
      ...(ticket && { 'adit-ratchet': ticket }),
    },
    body: Buffer.from(request).toString('base64'),
    // It has just answered; the fleet's hook may take its time.
    timeoutMs: Math.max(timeoutMs, DECISION_PATIENCE_MS),
  })
  if (response.status === 202) throw new ApprovalPending(response)
  const spki = p256Spki(keys.identity.publicKey)
  // Another key's certificate would leave us with an identity that we cannot prove.
  const leaf = certificatesIn(bodyOf(response)).find((der) => equalPublic(parseCertificate(der).spki, spki))
  if (leaf === undefined) throw unusable('a certificate')
  const issuers = certificatesIn(bodyOf(await https.request({ url: `${url}${EST}/cacerts`, timeoutMs })))
  return chainOf(leaf, issuers)
    .map((der) => encodePem('CERTIFICATE', der))
    .join('')
}

/** The facts of a chain's leaf that the agent itself lives by. */
export function leafOf(chainPem: string): { name: string; notBefore: number; notAfter: number } {
  const [der] = decodePem('CERTIFICATE', chainPem)
  if (der === undefined) throw unusable('a certificate')
  const { subjectName, notBefore, notAfter } = parseCertificate(der)
  return { name: valuesOf(subjectName, names.commonName)[0] ?? '', notBefore, notAfter }
}

/** The leaf and the issuers between it and the root, which the other end has. */
function chainOf(leaf: Uint8Array, issuers: readonly Uint8Array[]): Uint8Array[] {
  const certificate = new X509Certificate(leaf)
  const issuer = issuers.find((der) => {
    const candidate = new X509Certificate(der)
    return certificate.checkIssued(candidate) && !candidate.checkIssued(candidate)
  })
  return issuer ? [leaf, issuer] : [leaf]
}

function certificatesIn(body: Uint8Array): Uint8Array[] {
  try {
    return decodeCertsOnly(new Uint8Array(Buffer.from(Buffer.from(body).toString('latin1'), 'base64')))
  } catch (cause) {
    throw unusable('certificates', cause)
  }
}

const unusable = (what: string, cause?: unknown): AditError =>
  new AditError(
    'internal',
    `The broker's answer holds no usable ${what.replace(/^an? /, '')}.`,
    'Check that the API is that of an adit broker.',
    {
      cause,
    },
  )
