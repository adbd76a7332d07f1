import { equalPublic } from '#shared/bytes/equal.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { type Delegation, decodeScope } from '#shared/enrolment/delegation.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'

/** The station's own CA: one key for ever, and the certificate that it has at the moment. */
export class StationCa {
  readonly pair: KeyPair
  readonly #save: (chain: string) => Promise<void>
  #chain: string
  #certificate: Certificate

  /** `chain`: PEM of the CA's certificate, then the device CA's; `save`: puts another one on disk. */
  constructor(pair: KeyPair, chain: string, save: (chain: string) => Promise<void>) {
    this.pair = pair
    this.#save = save
    this.#chain = chain
    this.#certificate = firstOf(chain)
  }

  get ca(): Ca {
    return { certificate: this.#certificate, pair: this.pair }
  }

  get chain(): string {
    return this.#chain
  }

  /** As the certificate says it. */
  get delegation(): Delegation {
    const { extensions, notBefore, notAfter } = this.#certificate
    return { ...decodeScope(extensions.delegation ?? new Uint8Array()), notBefore, notAfter }
  }

  /** Another certificate of the same key and name: on disk when it resolves. Throws AditError `internal` for any other. */
  async take(chain: string): Promise<void> {
    const next = firstOf(chain)
    const isOurs = equalPublic(next.spki, p256Spki(this.pair.publicKey)) && next.subjectKey === this.#certificate.subjectKey
    if (!isOurs || next.extensions.delegation === undefined) throw notOurs()
    if (chain === this.#chain) return
    await this.#save(chain)
    this.#chain = chain
    this.#certificate = next
  }
}

function firstOf(chain: string): Certificate {
  const [der] = decodePem('CERTIFICATE', chain)
  if (der === undefined) throw notOurs()
  return parseCertificate(der)
}

const notOurs = (): AditError =>
  new AditError(
    'internal',
    "The broker's answer holds no certificate for this station's CA.",
    'Ask the administrator of the broker.',
  )
