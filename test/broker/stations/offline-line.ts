import type { Authority } from '#broker/identity/authority.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import type { Delegation } from '#shared/enrolment/delegation.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { writePeerLeaf } from '#shared/pki/peer-leaf.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { type Clock, days, wallTime } from '#shared/time/instant.ts'

/** Where the line belongs. */
interface LineFleet {
  readonly registry: Registry
  readonly authority: Pick<Authority, 'issueDelegate' | 'caOf'>
  readonly clock: Pick<Clock, 'wall'>
}

/** What the line has made of a board. */
export interface OfflineUnit {
  readonly identity: KeyPair
  readonly tunnel: KeyPair
  /** PEM: the leaf, the CA of the station, and that of the fleet's devices. */
  readonly chain: string
}

/** A factory line `line-1` with a CA of its own for a month, which makes units of twenty days and never tells of them, unless it is told to. */
export async function offlineLine({ registry, authority, clock }: LineFleet) {
  const asked = { name: 'line-1', names: 'unit-{n}', tags: [], quota: 9, ttl: days(30), claimTtl: days(1) }
  const { station } = await registry.stations.authorize(asked, registry.claims, 'admin:test')
  const pair = suite.ecdsaP256.generate()
  const spki = p256Spki(pair.publicKey)
  const der = await registry.stations.delegate(station, spki, (scope) => authority.issueDelegate(scope, spki))
  const certificate = parseCertificate(der)
  const above = authority.caOf('device').certificate.der
  const life = { notBefore: wallTime(clock.wall()), notAfter: wallTime(clock.wall() + days(20)) }
  return {
    make(name: string): OfflineUnit {
      const [identity, tunnel] = [suite.ecdsaP256.generate(), suite.x25519.generate()]
      const keys = { spki: p256Spki(identity.publicKey), tunnelKey: tunnel.publicKey }
      const leaf = writePeerLeaf({ certificate, pair }, { role: 'device', name, ...keys, ...life }, suite)
      return { identity, tunnel, chain: [leaf, der, above].map((part) => encodePem('CERTIFICATE', part)).join('') }
    },
    /** More time for it, and a certificate for its CA by whichever CA issues for devices now. */
    async renew(ttl: number): Promise<void> {
      await registry.stations.extend('line-1', { ttl }, 'admin:test')
      const make = (scope: Delegation, subject?: Uint8Array) => authority.issueDelegate(scope, spki, subject)
      await registry.stations.delegate(station, spki, make, authority.caOf('device').certificate)
    },
    /** It tells of its ledger, in which nothing is. */
    sync: (): Promise<void> =>
      registry.stationUnits.intake(async (transaction, heard) => {
        heard.push(await registry.stations.advance(transaction, station.id, { number: 1, hash: new Uint8Array(32) }))
      }),
  }
}
