import type { Options } from 'multicast-dns'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { encodeBasic } from '#shared/enrolment/basic-credentials.ts'
import { type Claim, decodeClaim } from '#shared/enrolment/claim.ts'
import { heldHash } from '#shared/enrolment/held-certificate.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'
import type { Log } from '#shared/platform/log.ts'
import { pause } from '#shared/platform/pause.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Clock, type Duration, elapsed, seconds, wallTime } from '#shared/time/instant.ts'
import { bodyOf, documentOf } from './broker-api.ts'
import { findStation } from './find-station.ts'
import { clearDelivery, isDeliveryPending, markDelivery } from './line-pending.ts'
import type { StateFolder } from './state-folder.ts'
import { certifiedKey, checkGiven, type GivenIdentity, takeIdentity } from './take-identity.ts'
import type { TokenPlace } from './token-place.ts'

export interface LineOptions {
  readonly folder: StateFolder
  /** As the image or a person has it. */
  readonly token: string
  /** What the station knows this board by. */
  readonly serial: string
  readonly suite: Suite
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  /** Where the identity key is to be, if in hardware. */
  readonly pkcs11?: TokenPlace | undefined
  /** How long a station may be away, or not expect this board yet. */
  readonly patience: Duration
  /** A person waits for the end of it: a refusal that no waiting mends is told at once. A board that waits alone goes on asking. */
  readonly attended?: boolean
  /** What is being done, for a person who watches. */
  onProgress?(step: string): void
  /** For tests: instead of the multicast of this machine's LANs. */
  readonly multicast?: Options
}

const requestTimeout = 10_000

/**
 * A board in factory state becomes somebody at the station of its line:
 *
 *   keys -> station found -> proven to be one of this fleet -> EST -> chain, root, broker -> on disk -> "held"
 *
 * The station records the delivery before it answers the last step, and until it has, STATE/line.pending makes the board say it again. Returns
 * the name. Throws AditError of the last try when patience ends; `claim-malformed`, `already-enrolled` or, attended, `unit-delivered` at once.
 */
export async function enrolAtLine(options: LineOptions): Promise<string> {
  const { folder, suite, clock, timers, patience, attended = false, onProgress = () => {} } = options
  const claim = decodeClaim(options.token, suite)
  if (!(await isDeliveryPending(folder)) && (await certifiedKey(folder)) !== undefined) throw alreadyEnrolled(folder)
  await folder.makeKeys(suite, options.pkcs11)
  const backoff = new Backoff(
    { base: seconds(1), cap: seconds(10) },
    uniform((length) => suite.random(length)),
  )
  const start = clock.now()
  for (;;) {
    try {
      return await enrolOnce(claim, options)
    } catch (error) {
      const problem = toAditError(error)
      const wait = backoff.next()
      const isFinal = problem.code === 'internal' || (attended && problem.code === 'unit-delivered')
      if (isFinal || elapsed(start, clock.now()) + wait > patience) throw problem
      onProgress(`${problem.message} Trying again.`)
      await pause(timers, wait)
    }
  }
}

async function enrolOnce(claim: Claim, options: LineOptions): Promise<string> {
  const { folder, suite, serial, pkcs11, onProgress = () => {} } = options
  const { https, url } = await stationOf(claim, options)
  try {
    const ask = (path: string, body?: string, type = 'application/json') =>
      https.request({
        url: `${url}${path}`,
        method: body === undefined ? 'GET' : 'POST',
        headers: { authorization: encodeBasic(claim), 'content-type': type },
        ...(body !== undefined && { body }),
        timeoutMs: requestTimeout,
      })
    const keys = (await folder.keys(suite, pkcs11))!
    const { enrolmentKey } = documentOf(await ask('/v1/enrolment')) as { enrolmentKey?: unknown }
    const tunnel = { pair: keys.tunnel, enrolmentKey: keyOf(enrolmentKey) }
    onProgress('asking the station for a certificate')
    const request = createRequest({ name: serial, identity: keys.identity, tunnel }, suite)
    const label = encodeURIComponent(serial)
    bodyOf(await ask(`/.well-known/est/${label}/simpleenroll`, Buffer.from(request).toString('base64'), 'application/pkcs10'))
    const given = givenIn(documentOf(await ask(`/v1/line/${label}`)))
    // Whoever the station is, the fleet is the one of the token.
    if (!equalPublic(suite.hash('sha256', decodePem('CERTIFICATE', given.root)[0] ?? new Uint8Array()), claim.ca))
      throw alienRoot()
    const name = checkGiven(given, { identity: keys.identity.publicKey, tunnel: keys.tunnel.publicKey })
    if ((await certifiedKey(folder)) === undefined) {
      // Before the identity: a board with one and without this would never tell.
      await markDelivery(folder, serial)
      await takeIdentity(folder, given, suite, pkcs11)
    }
    onProgress(`enrolled as ${name}; telling the station`)
    bodyOf(await ask(`/v1/line/${label}/held`, JSON.stringify({ certificate: heldHash(given.chain, suite) })))
    await clearDelivery(folder)
    return name
  } finally {
    https.close()
  }
}

/** By multicast DNS where the token names the station under `.local`, and by the addresses that the token has. */
async function stationOf(
  claim: Claim,
  { suite, timers, multicast, onProgress = () => {} }: LineOptions,
): Promise<{ https: HttpsClient; url: string }> {
  const url = new URL(claim.api[0]!)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  let addresses = claim.addresses ?? []
  if (host.endsWith('.local')) {
    onProgress('looking for the station on this LAN')
    const found = await findStation(claim.id, timers, multicast)
    if (found) {
      url.port = String(found.port)
      addresses = [...found.addresses, ...addresses]
    }
    if (addresses.length === 0) throw notFound()
  } else addresses = [host]
  const https = new HttpsClient({
    suite,
    trust: { rootFingerprint: claim.ca, station: true },
    // A board of the line knows no time: certificates are judged at their own beginnings.
    time: () => wallTime(0),
    lookup: async () => [...new Set(addresses)],
  })
  return { https, url: url.href.replace(/\/$/, '') }
}

function givenIn(document: object): GivenIdentity {
  const { chain, root, api, addresses, fleetKey } = document as Record<string, unknown>
  const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((text) => typeof text === 'string')
  if (typeof chain !== 'string' || typeof root !== 'string' || !isTexts(api) || api.length === 0) throw unusable()
  if (!api.every((url) => URL.canParse(url) && new URL(url).protocol === 'https:')) throw unusable()
  return {
    chain,
    root,
    api,
    addresses: isTexts(addresses) ? addresses : undefined,
    fleetKey: fleetKey === undefined ? undefined : keyOf(fleetKey),
  }
}

function keyOf(value: unknown): Uint8Array {
  const key = new Uint8Array(Buffer.from(typeof value === 'string' ? value : '', 'base64'))
  if (key.length !== 32) throw unusable()
  return key
}

const notFound = (): AditError =>
  new AditError(
    'station-unreachable',
    'No station of this line answers on this LAN.',
    'Start it (adit station run) in the same LAN; where multicast is filtered, give the line a fixed address (--listen ADDR:PORT).',
  )

const alienRoot = (): AditError =>
  new AditError('ca-mismatch', 'The station gave an identity of another fleet.', 'Use the image that was made for this line.')

const unusable = (): AditError =>
  new AditError('station-unreachable', "The station's answer cannot be used.", 'Check that both are adit of the same version.')

const alreadyEnrolled = (folder: StateFolder): AditError =>
  new AditError(
    'already-enrolled',
    `${folder.path} is enrolled already.`,
    'Choose another state folder, or empty this one first.',
  )
