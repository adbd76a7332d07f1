import { issueIdevid, makeFactoryRoot, makeIdevidCa, makeVoucherSigner } from '#agent/factory/factory-certificates.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { issuerIdentifier } from '#shared/enrolment/idevid.ts'
import { signVoucher } from '#shared/enrolment/signed-voucher.ts'
import type { Voucher } from '#shared/enrolment/voucher.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { wallTime } from '#shared/time/instant.ts'
import { makeRoot, now } from '#test/shared/pki/built-chain.ts'

/** A maker of boards, and what it says. */
export class BuiltFactory {
  readonly root = makeFactoryRoot('acme', now, suite)
  readonly ca = makeIdevidCa('acme', this.root, now, suite)
  readonly signer = makeVoucherSigner('acme', this.root, now, suite)

  board(serial: string, pair: KeyPair = suite.ecdsaP256.generate()): BuiltBoard {
    const leaf = issueIdevid(this.ca, { serial, spki: p256Spki(pair.publicKey) }, now, suite)
    return { serial, pair, leaf, chain: [leaf.der, this.ca.certificate.der] }
  }

  voucher(wish: Partial<Voucher> = {}): Voucher {
    return {
      createdOn: now,
      assertion: 'verified',
      serial: 'sn1',
      idevidIssuer: issuerIdentifier(this.board('sn1').leaf),
      pinnedDomainCert: owner.certificate.der,
      api: ['https://broker.example:8443'],
      ...wish,
    }
  }

  signed(wish: Partial<Voucher> = {}): Uint8Array {
    return signVoucher(this.voucher(wish), this.signer, suite)
  }
}

export interface BuiltBoard {
  serial: string
  pair: KeyPair
  leaf: Certificate
  /** DER, leaf first. */
  chain: Uint8Array[]
}

export const owner = makeRoot()
export const later = (ms: number) => wallTime(now + ms)
