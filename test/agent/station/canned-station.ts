import type { Identity } from '#agent/io/identity.ts'
import type { StateFolder } from '#agent/io/state-folder.ts'
import { type LedgerProof, proveLedger } from '#agent/station/core/ledger-proof.ts'
import { KnownIssuers } from '#agent/station/io/known-issuers.ts'
import { LedgerStore } from '#agent/station/io/ledger-store.ts'
import { StationCa } from '#agent/station/io/station-ca.ts'
import { StationDesk } from '#agent/station/io/station-desk.ts'
import type { StationParts } from '#agent/station/io/station-folder.ts'
import { issueDelegate, makeIssuingCa, makeRoot } from '#broker/identity/issuing-ca.ts'
import { fromHex, toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { encodePrivateKey } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { days, wallTime } from '#shared/time/instant.ts'

/** A station that no broker ever saw, as text: the same one in several processes. */
export interface CannedStation {
  readonly root: string
  readonly device: string
  readonly own: string
  readonly ownKey: string
  readonly identityKey: string
  readonly enrolmentKey: string
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))

export function canStation(quota: number, names = 'pump-{n}'): CannedStation {
  const now = wallTime(systemClock.wall() - days(1))
  const root = makeRoot(now, suite)
  const device = makeIssuingCa('device', root, now, suite)
  const own = suite.ecdsaP256.generate()
  const scope = { station: 'line-1', names, first: 1, last: quota, quota, tags: ['pumps'] }
  const window = { notBefore: now, notAfter: now + days(60) }
  return {
    root: base64(root.certificate.der),
    device: base64(device.certificate.der),
    own: base64(issueDelegate(device, { ...scope, ...window }, p256Spki(own.publicKey), suite)),
    ownKey: toHex(own.privateKey),
    identityKey: toHex(suite.ecdsaP256.generate().privateKey),
    enrolmentKey: toHex(suite.x25519.generate().privateKey),
  }
}

/** The counter of such a station over the ledger at `path`, offline. */
export async function openCanned(
  can: CannedStation,
  path: string,
): Promise<{ desk: StationDesk; ledger: LedgerStore; prove(): Promise<LedgerProof> }> {
  const identity = suite.ecdsaP256.pair(fromHex(can.identityKey))
  const ledger = await LedgerStore.open(path, { suite, clock: systemClock, identity })
  const root = bytes(can.root)
  const caChain = encodePem('CERTIFICATE', bytes(can.own)) + encodePem('CERTIFICATE', bytes(can.device))
  const parts: StationParts = {
    identity: {
      record: { api: ['https://broker.example:8443'], name: 'line-1', role: 'station' },
      rootPem: encodePem('CERTIFICATE', root),
      keys: { identity, identityPem: encodePrivateKey('p256', identity) },
    } as unknown as Identity,
    own: new StationCa(suite.ecdsaP256.pair(fromHex(can.ownKey)), caChain, async () => {}),
    issuers: await KnownIssuers.open(`${path}.issuers`, caChain),
    enrolmentKey: suite.x25519.pair(fromHex(can.enrolmentKey)),
    fleetKey: undefined,
    folder: { path: `${path}.folder` } as StateFolder,
    ledgerPath: path,
  }
  await ledger.change(({ account, now }) => ({
    entries:
      account.station === ''
        ? [
            { kind: 'begun', at: now, station: 'line-1' },
            { kind: 'delegated', at: now, certificate: bytes(can.own) },
          ]
        : [],
    result: () => undefined,
  }))
  const spki = p256Spki(identity.publicKey)
  return {
    desk: new StationDesk(parts, ledger, { suite, clock: systemClock, broker: undefined }),
    ledger,
    async prove() {
      const entries = await ledger.entries(0, Number.MAX_SAFE_INTEGER)
      const stored = { entries, seals: await ledger.seals(), secrets: await ledger.secretUnits() }
      const issuers = [parseCertificate(bytes(can.device))]
      return proveLedger(stored, { spki, publicKey: identity.publicKey, roots: [parseCertificate(root)], issuers, suite })
    },
  }
}
