import { type Circumstance, failureRecord, wordsOf } from '#shared/ikev2/failure-record.ts'
import { idText } from '#shared/ikev2/identity.ts'
import { nameText } from '#shared/ikev2/name-text.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import type { AuthenticationRefusal } from '#shared/ikev2/peer-authentication.ts'
import { readable } from '#shared/ikev2/readable.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import type { PkiError, PkiErrorCode } from '#shared/pki/pki-error.ts'
import type { WallTime } from '#shared/time/instant.ts'
import type { IkeId } from '#shared/wire/ike-payload/payload.ts'

/** Why a peer's proof was not believed: which certificate and which step, or which key, and what to change. */
export function explainAuthentication(refusal: AuthenticationRefusal, at: Circumstance): NegotiationFailure {
  const words = wordsOf(at)
  const who = at.claimedId === undefined ? 'the peer' : idText(at.claimedId)
  switch (refusal.kind) {
    case 'certificate':
      return explainCertificate(refusal.error, refusal.chain, at)
    case 'no-certificate':
      return failureRecord('auth', 'certificate-refused', at, {
        message: `${who} sent no certificate, and has no pre-shared key here`,
        mendHere: words.enlist,
        mendThere: 'in swanctl.conf, connections.adit: send_cert = always; connections.adit.local: certs = the file in x509/',
      })
    case 'signature':
      return failureRecord('auth', 'signature-invalid', at, {
        message: `the certificate ${describe(refusal.certificate)} is good, but the proof of its key is not: ${refusal.why}`,
        mendHere: words.certificate,
        mendThere: /SHA-1|algorithm/.test(refusal.why)
          ? 'in strongswan.conf, charon: signature_authentication = yes (RFC 7427), and a signature with SHA-256 or better'
          : 'the key in private/ must be the one of the certificate in x509/: pki --print shows the same keyid for both',
      })
    case 'unknown-identity':
      return failureRecord('auth', 'unknown-peer', at, {
        message: `no pre-shared key is known here for the identity ${who}`,
        mendHere: words.sharedKey,
        mendThere:
          'in swanctl.conf, connections.adit.local: id = the identity that the key was made for, or auth = pubkey with a certificate',
      })
    case 'shared-key':
      return failureRecord('auth', 'psk-mismatch', at, {
        message: `the pre-shared key of ${who} is another one than ours`,
        mendHere: words.sharedKey,
        mendThere: 'in swanctl.conf, secrets.ike-adit: secret = the key that this end has, in full and without a line end',
      })
    case 'identity':
      return failureRecord('auth', 'identity-mismatch', at, {
        offered: [who],
        allowed: refusal.names,
        message: `the peer claims to be ${who}, which its certificate does not say; it names ${refusal.names.join(' and ') || 'nobody'}`,
        mendHere: words.certificate,
        mendThere: `in swanctl.conf, connections.adit.local: id = ${JSON.stringify(refusal.names[0] ?? '')}`,
      })
    case 'unexpected':
      return unexpected(refusal.expected, who, at)
  }
}

function unexpected(expected: IkeId, who: string, at: Circumstance): NegotiationFailure {
  return failureRecord('auth', 'identity-mismatch', at, {
    offered: [who],
    allowed: [idText(expected)],
    message: `the peer proves to be ${who}, but ${idText(expected)} was expected`,
    mendHere: wordsOf(at).identity,
    mendThere: `in swanctl.conf, connections.adit.local: id = ${JSON.stringify(idText(expected))}, with a certificate that names it`,
  })
}

type Remedy = readonly [step: string, there: string]
const anew = 'get a certificate anew from whoever runs this end, and put it into x509/'

const remedies: Partial<Record<PkiErrorCode, Remedy>> = {
  expired: ['its time is over', anew],
  'not-yet-valid': ['its time has not begun', "set the clock of whoever issued it, and this machine's"],
  'issuer-unknown': [
    'no path leads from it to a CA that is trusted here',
    'in swanctl.conf, connections.adit.local: certs = the certificate that was issued for this connection; its intermediate CAs belong into x509ca/',
  ],
  'signature-invalid': [
    'a signature on the path is not by the key of the CA that it names',
    'use the CA certificates that came with the certificate',
  ],
  revoked: ['it is revoked', anew],
  purpose: ['it is not for this use', 'use the certificate that was issued for IPsec'],
  'key-usage': ['its key is not for signatures', 'use the certificate that was issued for IPsec'],
  'key-weak': ['its key is too weak', 'make a key of 2048 bits RSA at least, or ECDSA P-256, and get a certificate for it'],
  'key-unsupported': [
    'its key is of a kind that is not verified here',
    'use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits and more',
  ],
  'algorithm-unsupported': ['it is signed by an algorithm that is not accepted', 'have it issued with SHA-256 or better'],
  'peer-is-ca': [
    'it is the certificate of a CA',
    'in swanctl.conf, connections.adit.local: certs = the end certificate, not the CA',
  ],
}

/**
 * The peer's chain was refused. Where it is too early for a certificate, a clock is wrong more often than the certificate. `judgedAt`: the
 * time that was judged by, where it is known.
 */
export function explainCertificate(
  error: PkiError,
  chain: readonly Uint8Array[],
  at: Circumstance,
  judgedAt?: WallTime,
): NegotiationFailure {
  const certificates = chain.map((der) => readable(() => parseCertificate(der)))
  const certificate = culprit(error, certificates)
  const [step, there] = remedies[error.code] ?? ['it breaks a rule of RFC 5280', anew]
  const which = certificate === undefined ? 'the certificate, which cannot be read,' : `the certificate ${describe(certificate)}`
  const dates = certificate === undefined ? '' : `; valid from ${day(certificate.notBefore)} to ${day(certificate.notAfter)}`
  const judged = judgedAt === undefined ? '' : `, judged at ${day(judgedAt)}`
  const early = error.code === 'not-yet-valid'
  return failureRecord('auth', early ? 'clock' : 'certificate-refused', at, {
    offered: certificates.flatMap((one) => describe(one) ?? []),
    message: `${which} was refused because ${step}: ${error.message}${dates}${judged}`,
    mendHere: early ? "set this machine's clock: timedatectl set-ntp true" : wordsOf(at).certificate,
    mendThere: there,
  })
}

/** The certificate whose date the error speaks of; else the leaf, of which all other refusals tell most. */
function culprit({ code, message }: PkiError, certificates: readonly (Certificate | undefined)[]): Certificate | undefined {
  const [leaf] = certificates
  if (code !== 'expired' && code !== 'not-yet-valid') return leaf
  const date = (one: Certificate | undefined): string | undefined =>
    one === undefined ? undefined : iso(code === 'expired' ? one.notAfter : one.notBefore)
  return certificates.find((one) => one !== undefined && message.includes(date(one) ?? '\n')) ?? leaf
}

function describe(certificate: Certificate): string
function describe(certificate: Certificate | undefined): string | undefined
function describe(certificate: Certificate | undefined): string | undefined {
  if (certificate === undefined) return undefined
  return `"${nameText(certificate.subject) ?? 'a name that is no text'}" (serial ${certificate.serialHex}, by "${nameText(certificate.issuer) ?? '?'}")`
}

const iso = (time: WallTime): string => (Number.isFinite(time) ? new Date(time).toISOString() : String(time))
const day = (time: WallTime): string => iso(time).replace(/\.\d+Z$/, 'Z')

/** Our own key signs in a way that this peer does not know (makeAuth gave nothing). `kind`: of the key. */
export function explainOwnKey(kind: string, at: Circumstance): NegotiationFailure {
  return failureRecord('auth', 'certificate-refused', at, {
    message: `our ${kind} key signs in a way that the peer did not say it understands`,
    mendHere: 'use a certificate over an ECDSA P-256 key',
    mendThere: 'in strongswan.conf, charon: signature_authentication = yes (RFC 7427), and a plugin for that kind of key',
  })
}
