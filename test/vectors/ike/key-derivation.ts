import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { type Nonces, prfFunction, prfPlus, rekeyedSkeyseed, skeyseed } from '#shared/ikev2/key-material.ts'
import type { PrfFunction } from '#shared/ikev2/signed-octets.ts'
import { underBoth } from '../both-providers.ts'
import { type Fields, hexField, isFields, isFieldsArray, optionalHex, textField } from '../fields.ts'
import { BrokenFormat, type Verdicts } from '../verdict.ts'
import { prfNamed, prfRefusal } from './prf.ts'

/**
 * NIST CAVP and libreswan: `{vectors: [{prf, Ni, Nr | Ni||Nr, g^ir, SPIi, SPIr, SKEYSEED, DKM …}]}`: SKEYSEED and all keys of an IKE SA,
 * and where it is given, KEYMAT of Child SAs without and with a fresh secret, and the SKEYSEED of a rekeyed SA.
 */
export const recognises = (_path: string, contents: unknown): boolean => isDerivations(contents)

const isDerivations = (contents: unknown): contents is { vectors: readonly Fields[] } =>
  isFields(contents) &&
  isFieldsArray(contents.vectors) &&
  contents.vectors.length > 0 &&
  contents.vectors.every((vector) => typeof vector.prf === 'string' && typeof vector.SKEYSEED === 'string')

/** Refused as a PRF, and yet the only one with which anybody published the keys of Child SAs: the derivations know no hash. */
const SHA1 = 'PRF_HMAC_SHA1'

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isDerivations(contents)) throw new BrokenFormat(`${path} has no key derivations`)
  for (const vector of contents.vectors) {
    const name = textField(vector, 'prf')
    const descriptor = prfNamed(name)
    if (descriptor === undefined && name !== SHA1) verdicts.skip(prfRefusal(name))
    else {
      const prfOf = (suite: Suite): PrfFunction =>
        descriptor === undefined ? (key, ...data) => suite.hmac('sha1', key, ...data) : prfFunction(suite, descriptor)
      verdicts.settle(path, textField(vector, 'id'), () => underBoth((suite) => judgeOne(prfOf(suite), vector)))
    }
  }
}

function judgeOne(prf: PrfFunction, vector: Fields): string | undefined {
  const nonces = noncesOf(vector)
  const both = concat(nonces.initiator, nonces.responder)
  const seed = skeyseed(prf, nonces, hexField(vector, 'g^ir'))
  const spis = concat(hexField(vector, 'SPIi'), hexField(vector, 'SPIr'))
  const stated = hexField(vector, 'DKM', 'DKM (SK_d|SK_ai|SK_ar|SK_ei|SK_er|SK_pi|SK_pr)')
  const keys = prfPlus(prf, seed, concat(both, spis), stated.length)
  const d = keys.subarray(0, seed.length)
  const fresh = optionalHex(vector, 'g^ir (new)') ?? new Uint8Array(0)
  const child = optionalHex(vector, 'DKM(Child SA)')
  const childFresh = optionalHex(vector, 'DKM(Child SA D-H)')
  const rekeyed = optionalHex(vector, 'SKEYSEED(Rekey)')
  return (
    differs('SKEYSEED', seed, hexField(vector, 'SKEYSEED')) ??
    differs('the keys', keys, stated) ??
    (child && differs('KEYMAT', prfPlus(prf, d, both, child.length), child)) ??
    (childFresh && differs('KEYMAT with a fresh secret', prfPlus(prf, d, concat(fresh, both), childFresh.length), childFresh)) ??
    (rekeyed && differs('the rekeyed SKEYSEED', rekeyedSkeyseed(prf, d, fresh, nonces), rekeyed))
  )
}

/** CAVP gives one text for both; they are of one length there. */
function noncesOf(vector: Fields): Nonces {
  const both = optionalHex(vector, 'Ni||Nr')
  if (both === undefined) return { initiator: hexField(vector, 'Ni'), responder: hexField(vector, 'Nr') }
  return { initiator: both.subarray(0, both.length / 2), responder: both.subarray(both.length / 2) }
}

const differs = (what: string, made: Uint8Array, stated: Uint8Array): string | undefined =>
  equalPublic(made, stated) ? undefined : `${what} became ${toHex(made)}`
