import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import {
  authorityKeyId,
  caConstraints,
  hostNames,
  keyIdentifier,
  keyPurposes,
  keyUsage,
  subjectKeyId,
  writeCertificate,
} from '#shared/pki/certificate-writer.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { purposes } from '#shared/pki/oids.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { wallTime } from '#shared/time/instant.ts'

/** Certificates to be made wrong in one respect at a time. */
export interface Made {
  certificate: Certificate
  pair: KeyPair
  spki: Uint8Array
}

export interface Wish {
  subject?: Uint8Array
  issuer?: Made
  /** Milliseconds. */
  notBefore?: number
  notAfter?: number
  serial?: Uint8Array
  /** Replace those of the kind. */
  extensions?: readonly Uint8Array[]
  /** Come after those of the kind. */
  more?: readonly Uint8Array[]
  pair?: KeyPair
  spki?: Uint8Array
  /** Signs in place of the issuer. */
  signer?: KeyPair
}

export const begin = Date.UTC(2026, 0, 1)
export const end = Date.UTC(2027, 0, 1)
export const now = wallTime(Date.UTC(2026, 6, 1))

let made = 0

function make(wish: Wish, name: string, extensions: (spki: Uint8Array, issuer: Uint8Array) => Uint8Array[]): Made {
  const pair = wish.pair ?? suite.ecdsaP256.generate()
  const spki = wish.spki ?? p256Spki(pair.publicKey)
  const subject = wish.subject ?? commonName(name)
  made += 1
  const der = writeCertificate(
    {
      serial: wish.serial ?? Uint8Array.of(1, made >> 8, made),
      issuer: wish.issuer?.certificate.subject ?? subject,
      subject,
      notBefore: wallTime(wish.notBefore ?? begin),
      notAfter: wallTime(wish.notAfter ?? end),
      spki,
      extensions: [...(wish.extensions ?? extensions(spki, wish.issuer?.spki ?? spki)), ...(wish.more ?? [])],
    },
    wish.signer ?? wish.issuer?.pair ?? pair,
    suite,
  )
  return { certificate: parseCertificate(der), pair, spki }
}

export const caExtensions = (pathLength: number) => (spki: Uint8Array, issuer: Uint8Array) => [
  caConstraints(pathLength),
  keyUsage(KeyUsage.keyCertSign | KeyUsage.crlSign),
  subjectKeyId(keyIdentifier(spki, suite)),
  authorityKeyId(keyIdentifier(issuer, suite)),
]

export const leafExtensions = (spki: Uint8Array, issuer: Uint8Array): Uint8Array[] => [
  keyUsage(KeyUsage.digitalSignature),
  keyPurposes(purposes.serverAuth),
  hostNames(['broker.example.com', '192.0.2.1']),
  subjectKeyId(keyIdentifier(spki, suite)),
  authorityKeyId(keyIdentifier(issuer, suite)),
]

export const makeRoot = (wish: Wish = {}): Made => make(wish, 'root', caExtensions(3))
export const makeCa = (issuer: Made, wish: Wish = {}, pathLength = 0): Made =>
  make({ issuer, ...wish }, `ca ${made}`, caExtensions(pathLength))
export const makeLeaf = (issuer: Made, wish: Wish = {}): Made => make({ issuer, ...wish }, 'broker.example.com', leafExtensions)
