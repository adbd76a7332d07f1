import type { OutsiderCa } from '#broker/identity/authority.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { responderOf } from '#broker/stations/station-responders.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { type CertId, decodeOcspRequest } from '#shared/pki/ocsp-request.ts'
import { type CertificateStatus, encodeOcspRefusal, encodeOcspResponse } from '#shared/pki/ocsp-response.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { keyBits } from '#shared/pki/public-key.ts'
import { type Clock, hours, type WallTime, wallTime } from '#shared/time/instant.ts'
import { delegateStatus } from './revoked-delegates.ts'

interface ResponderParts {
  registry: Pick<Registry, 'certificates' | 'settings' | 'stations'>
  authority: { readonly outsiderCas: readonly OutsiderCa[] }
  suite: Suite
  clock: Clock
}

export interface OcspReply {
  readonly der: Uint8Array
  /** Between which moments it may be given again to whoever asks the same; undefined: to nobody else. */
  readonly fresh?: { readonly from: WallTime; readonly until: WallTime }
}

/** In whose name something is said, and by whose key; `responder`: by its leave. */
interface Answering {
  readonly certificate: Certificate
  readonly signer: Ca
  readonly responder?: Certificate
}

interface Kept {
  readonly der: Uint8Array
  readonly from: WallTime
  readonly until: WallTime
}

/** An answer is for an hour, and signed anew when half of that is over. */
const life = hours(1)
/** Answers kept: of certificates that there are alone, so that a stranger's inventions push nothing out. */
const keptLimit = 8_192

/**
 * Says whether a certificate of the fleet is good, revoked, or none that was given out (RFC 6960, in the profile of RFC 5019). The CA's
 * own key signs: it is at work in this process anyway, so that a delegated one would be a second secret of the same worth, and the answer
 * longer by a certificate. Of units that a station's CA has signed the device CA's key says it, by that CA's leave.
 */
export class OcspResponder {
  readonly #parts: ResponderParts
  readonly #kept = new Map<string, Kept>()
  #revision: number

  constructor(parts: ResponderParts) {
    this.#parts = parts
    this.#revision = parts.registry.certificates.revision
  }

  /** Never throws on a stranger's bytes. */
  async answer(request: Uint8Array): Promise<OcspReply> {
    try {
      return await this.#answer(request)
    } catch (error) {
      if (error instanceof PkiError) return { der: encodeOcspRefusal('malformed') }
      throw error
    }
  }

  async #answer(request: Uint8Array): Promise<OcspReply> {
    const { clock, suite } = this.#parts
    const { ids, nonce } = decodeOcspRequest(request)
    const [first] = ids
    const answering = first && (this.#ownCa(first) ?? (await this.#stationCa(first)))
    if (answering === undefined || !ids.every((id) => isOf(answering.certificate, id, suite)))
      return { der: encodeOcspRefusal('unauthorized') }
    const cacheKey = nonce === undefined && ids.length === 1 ? toHex(ids[0]!.der) : undefined
    const kept = cacheKey === undefined ? undefined : this.#recall(cacheKey)
    if (kept !== undefined) return { der: kept.der, fresh: kept }
    const { revision } = this.#parts.registry.certificates
    const { certificate, signer, responder } = answering
    const issuerHex = toHex(suite.hash('sha256', certificate.spki))
    const singles = []
    for (const id of ids) singles.push({ id: id.der, status: await this.#statusOf(certificate, issuerHex, id) })
    const from = clock.wall()
    const until = wallTime(from + life)
    const der = encodeOcspResponse(
      { producedAt: from, nextUpdate: until, singles, nonce, responder },
      signer.certificate,
      signer.pair,
      suite,
    )
    if (cacheKey === undefined) return { der }
    if (singles[0]!.status.kind !== 'unknown' && revision === this.#revision) this.#keep(cacheKey, { der, from, until })
    return { der, fresh: { from, until } }
  }

  #ownCa(id: CertId): Answering | undefined {
    const { authority, suite } = this.#parts
    const found = authority.outsiderCas.find(({ ca }) => isOf(ca.certificate, id, suite))
    return found && { certificate: found.ca.certificate, signer: found.ca }
  }

  /** Of a station that lets a key of ours answer. */
  async #stationCa(id: CertId): Promise<Answering | undefined> {
    const { authority, suite, registry } = this.#parts
    const station = [...registry.stations.all()].find(({ ca }) => ca !== undefined && isOf(ca, id, suite))
    if (station?.ca === undefined) return undefined
    for (const { ca: signer } of authority.outsiderCas) {
      const responder = await responderOf(registry.settings, station, signer.certificate.spki)
      if (responder !== undefined) return { certificate: station.ca, signer, responder }
    }
    return undefined
  }

  async #statusOf(issuer: Certificate, issuerHex: string, { serialHex }: CertId): Promise<CertificateStatus> {
    const { certificates, stations } = this.#parts.registry
    const found = delegateStatus(stations, issuer, serialHex) ?? (await certificates.statusOf(issuerHex, serialHex))
    if (found === undefined) return { kind: 'unknown' }
    return found.revokedAt === undefined
      ? { kind: 'good' }
      : { kind: 'revoked', at: wallTime(found.revokedAt), reason: found.reason }
  }

  /** What was revoked since makes every answer old. */
  #recall(key: string): Kept | undefined {
    const { registry, clock } = this.#parts
    if (registry.certificates.revision !== this.#revision) {
      this.#revision = registry.certificates.revision
      this.#kept.clear()
    }
    const kept = this.#kept.get(key)
    const now = clock.wall()
    return kept !== undefined && kept.from <= now && kept.until - now > life / 2 ? kept : undefined
  }

  #keep(key: string, answer: Kept): void {
    this.#kept.delete(key)
    this.#kept.set(key, answer)
    if (this.#kept.size > keptLimit) this.#kept.delete(this.#kept.keys().next().value as string)
  }
}

const isOf = (issuer: Certificate, { hash, nameHash, keyHash }: CertId, suite: Suite): boolean =>
  equalPublic(suite.hash(hash, issuer.subject), nameHash) && equalPublic(suite.hash(hash, keyBits(issuer.spki)), keyHash)
