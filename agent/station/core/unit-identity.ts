import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import type { Delegation } from '#shared/enrolment/delegation.ts'
import { unitPlaces } from '#shared/enrolment/unit-places.ts'
import { type Ca, writePeerLeaf } from '#shared/pki/peer-leaf.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { days, minutes, wallTime } from '#shared/time/instant.ts'

/** Keys that the station makes for a unit and has until it is delivered. */
export interface UnitKeys {
  readonly identity: KeyPair
  readonly tunnel: KeyPair
}

export const makeUnitKeys = (suite: Suite): UnitKeys => ({
  identity: suite.ecdsaP256.generate(),
  tunnel: suite.x25519.generate(),
})

/** P-256 private key (32) || X25519 private key (32). */
export const packUnitKeys = ({ identity, tunnel }: UnitKeys): Uint8Array => {
  const packed = new Uint8Array(64)
  packed.set(identity.privateKey.subarray(0, 32))
  packed.set(tunnel.privateKey.subarray(0, 32), 32)
  return packed
}

export const unpackUnitKeys = (packed: Uint8Array, suite: Suite): UnitKeys => ({
  identity: suite.ecdsaP256.pair(packed.slice(0, 32)),
  tunnel: suite.x25519.pair(packed.slice(32, 64)),
})

export const identityPem = (identity: KeyPair): string => encodePrivateKey('p256', identity)
export const spkiOf = ({ identity }: UnitKeys): Uint8Array => p256Spki(identity.publicKey)

/** Life of a unit's first certificate: its first call, at any time in it or within the lane behind it, brings it the next. */
const unitDays = 366
/** A unit whose clock is a little late takes its certificate at once. */
const backDated = minutes(5)

/** A unit's certificate by the station's own CA: DER. It ends with the window at the latest. */
export function certifyUnit(
  ca: Ca,
  unit: { name: string; spki: Uint8Array; tunnelKey?: Uint8Array },
  { notBefore, notAfter }: Pick<Delegation, 'notBefore' | 'notAfter'>,
  now: number,
  suite: Suite,
): Uint8Array {
  const life = {
    notBefore: wallTime(Math.max(now - backDated, notBefore)),
    notAfter: wallTime(Math.min(now + days(unitDays), notAfter)),
  }
  const places = unitPlaces(ca.certificate, suite)
  return writePeerLeaf(ca, { role: 'device', ...unit, ...life, ...(places && { places }) }, suite)
}
