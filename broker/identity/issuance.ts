import { placesBelow } from '#broker/identity/ca-certificates.ts'
import type { CaStanding } from '#broker/identity/ca-standing.ts'
import { issueDelegate, issuePeer } from '#broker/identity/issuing-ca.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Delegation } from '#shared/enrolment/delegation.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { parsePublicKey } from '#shared/pki/public-key.ts'
import type { PeerRole } from '#shared/pki/roles.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'

export interface IssueRequest {
  role: PeerRole
  name: string
  /** SubjectPublicKeyInfo DER of a P-256 key, taken from a verified request. */
  spki: Uint8Array
  /** For a stock IPsec peer: its key may also be of P-384, Ed25519 or RSA, and its name is a host name in it too. */
  ipsec?: boolean
  /** 32-byte X25519 key whose possession was proven. */
  tunnelKey?: Uint8Array
  /** Life in days; 30 unless said otherwise. */
  days?: number
}

export interface IssuedCertificate {
  der: Uint8Array
  serialHex: string
  /** SHA-256 of the issuing CA's SPKI, hex: with the serial it names a certificate for revocation. */
  issuerHex: string
  notBefore: WallTime
  notAfter: WallTime
  spkiSha256Hex: string
}

/** Life of certificates, in days. */
const peerDays = 30

interface IssuanceParts {
  readonly suite: Suite
  readonly clock: Clock
  /** Where outsiders find what is said of a certificate, without a slash at its end. */
  readonly pkiUrl: string | undefined
  /** Who issues, at this moment. */
  standing(): CaStanding
}

/** What the authority gives to others: certificates of peers, and those of stations' own CAs. */
export class Issuance {
  readonly #parts: IssuanceParts

  constructor(parts: IssuanceParts) {
    this.#parts = parts
  }

  get ocspUrl(): string | undefined {
    const { pkiUrl } = this.#parts
    return pkiUrl === undefined ? undefined : placesOf(pkiUrl, '').ocsp
  }

  /** Throws AditError `name-invalid` or `request-refused`. */
  issue(request: IssueRequest): IssuedCertificate {
    const { suite, clock, pkiUrl } = this.#parts
    const { role, spki, tunnelKey } = request
    const ipsec = request.ipsec ?? false
    checkIdentityKey(spki, ipsec)
    const standing = this.#parts.standing()
    const ca = standing.issuing(role)
    const life = request.days ?? peerDays
    const places = pkiUrl && placesOf(pkiUrl, standing.issuingStem(role))
    const content = {
      role,
      name: checkName(request.name),
      spki,
      days: life,
      ipsec,
      ...(tunnelKey && { tunnelKey }),
      ...(places && { places }),
    }
    const der = issuePeer(ca, content, clock.wall(), suite)
    const { serialHex, notBefore, notAfter } = parseCertificate(der)
    return {
      der,
      serialHex,
      issuerHex: toHex(suite.hash('sha256', ca.certificate.spki)),
      notBefore,
      notAfter,
      spkiSha256Hex: toHex(suite.hash('sha256', spki)),
    }
  }

  /**
   * The certificate of a station's own CA: DER. Throws AditError `ca-too-flat` where the device CA is of a fleet that had no stations, and
   * may sign nothing but devices.
   */
  issueDelegate(scope: Delegation, spki: Uint8Array, subject?: Uint8Array): Uint8Array {
    checkIdentityKey(spki, false)
    const standing = this.#parts.standing()
    const ca = standing.issuing('device')
    const { pkiUrl, suite } = this.#parts
    const places = pkiUrl === undefined ? undefined : placesOf(pkiUrl, standing.issuingStem('device'))
    if (ca.certificate.extensions.basicConstraints?.pathLength === 0) throw tooFlat()
    return issueDelegate(ca, scope, spki, suite, { subject, places })
  }
}

const placesOf = (url: string, stem: string) => ({
  ...placesBelow(url, stem),
  ocsp: `${url}/ocsp`,
})

function checkIdentityKey(spki: Uint8Array, ipsec: boolean): void {
  try {
    if (parsePublicKey(spki).kind === 'p256' || ipsec) return
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    if (ipsec) throw new AditError('request-refused', `The key to certify cannot be used: ${error.message}.`, ipsecKeys)
  }
  throw new AditError('request-refused', 'The key to certify is not a P-256 key.', 'Make a P-256 key and request again.')
}

const ipsecKeys = 'Make a key of P-256, P-384, Ed25519 or RSA from 2048 bits and request again.'

const tooFlat = (): AditError =>
  new AditError(
    'ca-too-flat',
    "This fleet's device CA was made before there were stations: it may sign devices alone.",
    'Rotate it: adit-broker ca rotate device',
  )
