import type { OutsiderCa, RootListing } from '#broker/identity/authority.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { stationLabel, stationsList } from '#shared/enrolment/unit-places.ts'
import { OCSP_REQUEST_LIMIT } from '#shared/pki/ocsp-request.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'
import { OcspResponder } from './ocsp-responder.ts'
import { RevocationLists } from './revocation-lists.ts'

export interface DeskParts {
  registry: Pick<Registry, 'certificates' | 'settings' | 'stations'>
  authority: {
    readonly outsiderCas: readonly OutsiderCa[]
    readonly rootLists: readonly RootListing[]
    readonly rootDer: Uint8Array
  }
  suite: Suite
  clock: Clock
}

/** What is said over HTTP, by whatever server. */
export interface OutsiderAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

const types = { crl: 'application/pkix-crl', crt: 'application/pkix-cert', ocsp: 'application/ocsp-response' } as const
/** How long a cache on the way may keep a word of ours, seconds: revocations get past it then. */
const longestCached = 300

/**
 * What programs that are none of ours may ask of the fleet's certificates, without saying who they are:
 *
 *   GET  /pki/ROLE.crl   the revoked certificates of an issuing CA     GET  /ocsp/BASE64   a certificate's status
 *   GET  /pki/device-stations.crl   those of stations below it (an indirect list)   GET /pki/station-KEY.crt   a station's CA
 *   GET  /pki/root.crl   the revoked issuing CAs of a root: root-ID.crl of a later one
 *   GET  /pki/ROLE.crt   its own certificate; `root` too              POST /ocsp          likewise
 */
export class OutsiderDesk {
  readonly #parts: DeskParts
  readonly #lists: RevocationLists
  readonly #responder: OcspResponder

  constructor(parts: DeskParts) {
    this.#parts = parts
    this.#lists = new RevocationLists(parts)
    this.#responder = new OcspResponder(parts)
  }

  /** `path`: with its percent-encoding, without a query. Undefined where there is nothing. */
  async get(path: string): Promise<OutsiderAnswer | undefined> {
    if (path.startsWith('/ocsp/')) {
      const request = requestIn(path.slice('/ocsp/'.length))
      return request === undefined ? undefined : this.ocsp(request)
    }
    const [, label, kind] = /^\/pki\/([a-z0-9-]{1,64})\.(crl|crt)$/.exec(path) ?? []
    const { outsiderCas, rootLists, rootDer } = this.#parts.authority
    const root = rootLists.find((one) => one.label === label)
    if (root !== undefined && kind === 'crl') return root.list && said(types.crl, root.list.der, cachedShortly)
    const found = outsiderCas.find((ca) => ca.label === label)
    const above = kind === 'crl' && outsiderCas.find((ca) => stationsList(ca.label) === label)
    if (above) {
      const list = await this.#lists.ofStations(above)
      return said(types.crl, list.der, cached(list.thisUpdate, list.nextUpdate))
    }
    if (kind === 'crt' && label?.startsWith('station-')) return this.#stationCa(label)
    if (kind === 'crt' && label === 'root') return said(types.crt, rootDer)
    if (root !== undefined) return said(types.crt, root.root.der)
    if (found === undefined) return undefined
    if (kind === 'crt') return said(types.crt, found.ca.certificate.der)
    const list = await this.#lists.of(found)
    return said(types.crl, list.der, cached(list.thisUpdate, list.nextUpdate))
  }

  #stationCa(label: string): OutsiderAnswer | undefined {
    const { registry, suite } = this.#parts
    const station = [...registry.stations.all()].find(({ ca }) => ca !== undefined && stationLabel(ca.spki, suite) === label)
    return station?.ca && said(types.crt, station.ca.der)
  }

  /** `request`: OCSPRequest DER. */
  async ocsp(request: Uint8Array): Promise<OutsiderAnswer> {
    const { der, fresh } = await this.#responder.answer(request)
    return said(types.ocsp, der, fresh ? cached(fresh.from, fresh.until) : { 'cache-control': 'no-store' })
  }
}

/** Base64 in a path, percent-encoded or not (RFC 6960 A.1); undefined for what is none. */
function requestIn(text: string): Uint8Array | undefined {
  if (text.length > OCSP_REQUEST_LIMIT * 2) return undefined
  try {
    const base64 = decodeURIComponent(text)
    return /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? Uint8Array.from(Buffer.from(base64, 'base64')) : undefined
  } catch {
    return undefined
  }
}

const said = (type: string, body: Uint8Array, more: Record<string, string> = {}): OutsiderAnswer => ({
  status: 200,
  headers: { 'content-type': type, ...more },
  body,
})

const cachedShortly = { 'cache-control': `max-age=${longestCached}, public, no-transform, must-revalidate` }

/** RFC 5019 §6.2. */
const cached = (from: WallTime, until: WallTime): Record<string, string> => ({
  'last-modified': new Date(from).toUTCString(),
  expires: new Date(until).toUTCString(),
  'cache-control': `max-age=${longestCached}, public, no-transform, must-revalidate`,
})
