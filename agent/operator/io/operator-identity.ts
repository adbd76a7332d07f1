import { X509Certificate } from 'node:crypto'
import { BrokerApi } from '#agent/io/broker-api.ts'
import { Floors } from '#agent/io/floors.ts'
import { type AgentKeys, type AgentRecord, StateFolder } from '#agent/io/state-folder.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { systemClock } from '#shared/platform/clock.ts'
import type { Log } from '#shared/platform/log.ts'
import { HttpsClient } from '#shared/platform/tls.ts'

/** The operator whose keys and certificate lie in a state folder. */
export interface Operator {
  readonly folder: StateFolder
  readonly keys: AgentKeys
  readonly record: AgentRecord
  readonly floors: Floors
  readonly name: string
  /** The API's URLs, in the order to try. */
  readonly api: readonly string[]
  /** First and last moment of the certificate, ms since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  /** The API over mutual TLS. Keeps connections open: one for the whole command. */
  readonly https: HttpsClient
  brokerApi(): BrokerApi
}

/** Throws AditError `not-enrolled` where nobody has logged in. */
export async function openOperator(path: string, log: Log = quiet): Promise<Operator> {
  const folder = await StateFolder.open(path)
  const [keys, certificates, record] = await Promise.all([folder.keys(nativeSuite), folder.certificates(), folder.record()])
  if (keys === undefined || certificates === undefined || record === undefined) throw notLoggedIn(path)
  if (record.role !== 'operator')
    throw new AditError(
      'not-enrolled',
      `${path} belongs to a device's agent.`,
      'Choose another folder: adit --state DIR, or ADIT_STATE.',
    )
  const [rootDer] = decodePem('CERTIFICATE', certificates.root)
  if (rootDer === undefined) throw notLoggedIn(path)
  const leaf = new X509Certificate(certificates.chain)
  const notBefore = Date.parse(leaf.validFrom)
  const floors = await Floors.open(folder.file('floor'), systemClock, log)
  floors.raiseTime(notBefore)
  const https = new HttpsClient({
    suite: nativeSuite,
    trust: { rootDer },
    time: () => floors.time.now(),
    identity: { key: keys.identityPem, chain: certificates.chain },
    lastGoodAddresses: (host) => record.addresses?.[host] ?? [],
  })
  return {
    folder,
    keys,
    record,
    floors,
    name: record.name,
    api: record.api,
    notBefore,
    notAfter: Date.parse(leaf.validTo),
    https,
    brokerApi: () => new BrokerApi(https, record.api),
  }
}

const quiet: Log = { error() {}, warn() {}, info() {}, debug() {}, trace() {} }

const notLoggedIn = (path: string): AditError =>
  new AditError(
    'not-enrolled',
    `Nobody is logged in with the state folder ${path}.`,
    'Log in with a claim: adit login --claim TOKEN.',
  )
