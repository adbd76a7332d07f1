import { labelOf } from '#agent/station/labels/label.ts'
import type { UnitRecord } from '#agent/station/unit-desk.ts'

export const pairing = 'https://broker.example.com:8443/pair'

/** A unit as the ledger has it once it is delivered. */
export const unit = {
  serial: '10000000a1b2c3d4',
  name: 'pi-0042',
  way: 'image',
  step: 'delivered',
  attempts: 1,
  openedAt: 1_000,
  deliveredAt: 2_000,
  spkiSha256: Buffer.from(Uint8Array.from({ length: 32 }, (_, at) => at)).toString('hex'),
  certificateSerial: '0badcafe',
} satisfies UnitRecord

export const label = labelOf(unit, pairing)
