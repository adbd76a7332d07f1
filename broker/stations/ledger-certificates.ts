import type { LastWord } from '#broker/enrolment/last-word.ts'
import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Station } from '#broker/stations/station.ts'
import { type UnitWord, wordOn } from '#broker/stations/unit-word.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { LedgerEntry } from '#shared/enrolment/station-ledger.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { type WallTime, wallTime } from '#shared/time/instant.ts'

export interface LedgerCertificatesParts {
  readonly registry: Pick<Registry, 'stations' | 'directory'>
  readonly authority: Pick<AuthorityFace, 'verifyPeer'>
  readonly lastWord: LastWord
  readonly suite: Suite
}

/** A certificate of a ledger; `fault`: why it cannot be one of this station's. */
export interface LedgerCertificate {
  readonly leaf: Certificate
  readonly issuerHex: string
  readonly fault: string | undefined
  /** Left out where its key is enlisted already, and was asked about then. */
  readonly word?: UnitWord
}

/** What a ledger says was issued, judged before it is taken in, with the hook's word on those whose keys nobody has yet. */
export class LedgerCertificates {
  readonly #parts: LedgerCertificatesParts

  constructor(parts: LedgerCertificatesParts) {
    this.#parts = parts
  }

  /** By entry; all questions to the hook at once. Throws AditError `hook-failed` or `ledger-damaged`. */
  async of(
    station: Station,
    entries: readonly LedgerEntry[],
    address: string,
  ): Promise<ReadonlyMap<LedgerEntry, LedgerCertificate>> {
    const { registry, suite, lastWord } = this.#parts
    const judged = entries.map(async (entry): Promise<[LedgerEntry, LedgerCertificate] | undefined> => {
      if (entry.kind !== 'issued') return undefined
      const leaf = parsed(entry.certificate)
      const spkiSha256Hex = toHex(suite.hash('sha256', leaf.spki))
      const isEnlisted = registry.directory.bySpki(spkiSha256Hex) !== undefined
      const found = this.#judge(station, leaf, isEnlisted)
      if (found.fault !== undefined || isEnlisted) return [entry, found]
      const name = valuesOf(found.leaf.subjectName, names.commonName)[0] ?? ''
      return [entry, { ...found, word: await wordOn(lastWord, station, { name, unit: entry.unit, spkiSha256Hex }, address) }]
    })
    return new Map((await Promise.all(judged)).filter((one) => one !== undefined))
  }

  /** `isEnlisted`: its key is somebody's here, who does not cease to be that because a CA has retired meanwhile. */
  #judge(station: Station, leaf: Certificate, isEnlisted: boolean): LedgerCertificate {
    try {
      const { role, issuerHex } = this.#parts.authority.verifyPeer([leaf.der], madeAt(station, leaf), {
        ...(isEnlisted && { allowExpiredDays: 1 }),
      })
      const foreign = this.#parts.registry.stations.byIssuer(issuerHex)
      if (role !== 'device') return { leaf, issuerHex, fault: `it is a certificate of a ${role}` }
      if (foreign && foreign.id !== station.id) return { leaf, issuerHex, fault: `station ${foreign.station} issued it` }
      return { leaf, issuerHex, fault: undefined }
    } catch (error) {
      if (!isAditError(error)) throw error
      const reason = error.cause instanceof Error ? error.cause.message : error.message
      return { leaf, issuerHex: station.issuerHex ?? '', fault: reason }
    }
  }
}

/**
 * The moment of its making, since a unit may lie on a shelf for longer than its certificate lives; or, where its CA has got another
 * certificate since then, the first at which both were good.
 */
const madeAt = ({ ca }: Station, { issuerKey, notBefore }: Certificate): WallTime =>
  wallTime(ca?.subjectKey === issuerKey ? Math.max(ca.notBefore, notBefore) : notBefore)

function parsed(der: Uint8Array): Certificate {
  try {
    return parseCertificate(der)
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    const mend = 'Ask the administrator of the broker.'
    throw new AditError('ledger-damaged', `A certificate in the ledger cannot be read: ${error.message}.`, mend)
  }
}
