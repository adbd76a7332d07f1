import { identityKeyToPem } from '#agent/io/identity-key.ts'
import type { LineCount, LineEvent, UnitStep, WayKind } from '#agent/station/line-event.ts'
import type { UnitDesk, UnitRecord } from '#agent/station/unit-desk.ts'
import type { LineIdentity, LineTerms } from '#agent/station/ways/line-terms.ts'
import { type Ca, issuePeer, makeIssuingCa, makeRoot } from '#broker/identity/issuing-ca.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { UnitBundle } from '#shared/enrolment/unit-bundle.ts'
import { AditError } from '#shared/errors.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { verifyRequest } from '#shared/pki/request.ts'
import { wallTime } from '#shared/time/instant.ts'

/** When its certificates begin. */
const begin = wallTime(Date.UTC(2026, 6, 1))

/** The station's counter without a disk, over a small CA of its own: for tests of the ways. */
export class DeskInMemory implements UnitDesk {
  readonly station = 'line-7'
  readonly terms: LineTerms = {
    api: ['https://broker.example.com:8443'],
    addresses: ['203.0.113.7'],
    fleetKey: new Uint8Array(32).fill(7),
  }
  readonly root: Ca = makeRoot(begin, suite)
  /** What this desk did, for assertions: certificates issued by serial. */
  readonly issued = new Map<string, { spki: Uint8Array; chain: string }[]>()
  readonly steps: { serial: string; step: UnitStep; progress: number | undefined }[] = []
  readonly #issuer: Ca = makeIssuingCa('device', this.root, begin, suite)
  readonly #stations: Ca = makeIssuingCa('station', this.root, begin, suite)
  readonly #enrolment = suite.x25519.generate()
  readonly #units = new Map<string, UnitRecord>()
  readonly #bundles = new Map<string, UnitBundle>()
  readonly #listeners = new Set<(event: LineEvent) => void>()

  get enrolmentKey(): Uint8Array {
    return this.#enrolment.publicKey
  }

  get rootPem(): string {
    return encodePem('CERTIFICATE', this.root.certificate.der)
  }

  /** The station's own certificate and key, as it shows them to boards. `name`: another station of this fleet. */
  identity(name = this.station): LineIdentity {
    const pair = suite.ecdsaP256.generate()
    const content = { role: 'station' as const, name, spki: p256Spki(pair.publicKey), days: 90 }
    const leaf = issuePeer(this.#stations, content, begin, suite)
    const chainPem = [leaf, this.#stations.certificate.der].map((der) => encodePem('CERTIFICATE', der)).join('')
    return { keyPem: identityKeyToPem(pair), chainPem, rootPem: this.rootPem }
  }

  async open(serial: string, way: WayKind, wish?: { name?: string }): Promise<UnitRecord> {
    const before = this.#units.get(serial)
    if (before) return before
    const name = wish?.name ?? `pi-${this.#units.size + 1}`
    const record: UnitRecord = { serial, name, way, step: 'opened', attempts: 1, openedAt: begin }
    this.#units.set(serial, record)
    return record
  }

  async bundle(serial: string): Promise<UnitBundle> {
    const record = this.#known(serial)
    if (record.step === 'delivered') throw delivered(serial)
    const made = this.#bundles.get(serial)
    if (made) return made
    const identity = suite.ecdsaP256.generate()
    const tunnel = suite.x25519.generate()
    const chain = this.#issue(record, p256Spki(identity.publicKey), tunnel.publicKey)
    const keys = { identityPem: identityKeyToPem(identity), tunnelKey: tunnel.privateKey }
    const bundle = { serial, name: record.name, ...keys, chain, root: this.rootPem, ...this.terms }
    this.#bundles.set(serial, bundle)
    return bundle
  }

  async certify(serial: string, request: Uint8Array): Promise<{ chain: string; root: string; name: string }> {
    const record = this.#known(serial)
    const { spki, tunnelKey } = verifyRequest(request, this.#enrolment, suite)
    const before = this.issued.get(serial)?.find((made) => equalPublic(made.spki, spki))
    if (before === undefined && record.step === 'delivered') throw delivered(serial)
    const chain = before?.chain ?? this.#issue(record, spki, tunnelKey)
    return { chain, root: this.rootPem, name: record.name }
  }

  step(serial: string, step: 'writing' | 'verifying' | 'labelled', progress?: number): void {
    this.steps.push({ serial, step, progress })
  }

  async delivered(serial: string): Promise<UnitRecord> {
    this.#bundles.delete(serial)
    return this.#change(serial, { step: 'delivered', deliveredAt: begin })
  }

  async failed(serial: string, { code, message, mend }: AditError): Promise<UnitRecord> {
    return this.#change(serial, { step: 'failed', cause: { code, message, mend } })
  }

  async record(serial: string): Promise<UnitRecord | undefined> {
    return this.#units.get(serial)
  }

  onEvent(listener: (event: LineEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async count(): Promise<LineCount> {
    const of = (step: UnitStep): number => [...this.#units.values()].filter((unit) => unit.step === step).length
    const counts = { delivered: of('delivered'), failed: of('failed'), scrapped: of('scrapped') }
    return { station: this.station, planned: undefined, ...counts, quotaLeft: 1000, until: begin, unsynced: 0 }
  }

  #issue({ serial, name }: UnitRecord, spki: Uint8Array, tunnelKey: Uint8Array | undefined): string {
    const content = { role: 'device' as const, name, spki, days: 90, ...(tunnelKey && { tunnelKey }) }
    const leaf = issuePeer(this.#issuer, content, begin, suite)
    const chain = [leaf, this.#issuer.certificate.der].map((der) => encodePem('CERTIFICATE', der)).join('')
    this.issued.set(serial, [...(this.issued.get(serial) ?? []), { spki, chain }])
    this.#change(serial, { step: 'issued' })
    return chain
  }

  #change(serial: string, change: Partial<UnitRecord>): UnitRecord {
    const record = { ...this.#known(serial), ...change }
    this.#units.set(serial, record)
    const { name, way, step } = record
    for (const listener of this.#listeners) listener({ at: begin, step, serial, name, way })
    return record
  }

  #known(serial: string): UnitRecord {
    const record = this.#units.get(serial)
    if (record) return record
    throw new AditError('not-found', `No unit ${serial} was opened here.`, 'Open it first.')
  }
}

const delivered = (serial: string): AditError =>
  new AditError('forbidden', `The unit ${serial} has been delivered already.`, 'Replace it, where it is lost.')
