import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'

/** The fleet's CAs by which boards of this station were certified: authorities succeed one another while a station works. */
export class KnownIssuers {
  readonly #path: string
  readonly #certificates: Certificate[]

  private constructor(path: string, certificates: Certificate[]) {
    this.#path = path
    this.#certificates = certificates
  }

  /** `chain`: PEM of the station's own CA and the device CA that signed it. */
  static async open(path: string, chain: string): Promise<KnownIssuers> {
    const learnt = Buffer.from((await readIfPresent(path)) ?? new Uint8Array()).toString('latin1')
    const [, ...above] = decodePem('CERTIFICATE', chain)
    return new KnownIssuers(
      path,
      [...above, ...decodePem('CERTIFICATE', learnt)].map((der) => parseCertificate(der)),
    )
  }

  get certificates(): readonly Certificate[] {
    return this.#certificates
  }

  /** PEM of whom the leaf names as its issuer; nothing where that is not known. */
  pemAbove({ issuerKey }: Pick<Certificate, 'issuerKey'>): string {
    const issuer = this.#certificates.find(({ subjectKey }) => subjectKey === issuerKey)
    return issuer ? encodePem('CERTIFICATE', issuer.der) : ''
  }

  /** From an answer of the broker: on disk when it resolves. True where there was one that was not known. */
  async learn(issuers: readonly Uint8Array[]): Promise<boolean> {
    const fresh = issuers
      .map((der) => parseCertificate(der))
      .filter(({ subjectKey }) => !this.#certificates.some((known) => known.subjectKey === subjectKey))
    if (fresh.length === 0) return false
    this.#certificates.push(...fresh)
    const pem = this.#certificates.map(({ der }) => encodePem('CERTIFICATE', der)).join('')
    await writeDurably(this.#path, pem)
    return true
  }
}
