import type { WayKind } from '#agent/station/line-event.ts'
import type { UnitDesk } from '#agent/station/unit-desk.ts'

/** What is recorded of a unit whose board made its key, and has said which certificate it holds. `hash`: of that, hex. */
export const heldEvidence = (hash: string): string => `the board holds certificate ${hash}, whose key it made`

/** A road by which a board gets its identity. */
export interface Way {
  readonly kind: WayKind
  /**
   * Brings an open unit its identity and returns what proves it, in one line: the caller has opened the unit and records this evidence with
   * `delivered`, or the AditError with `failed`. Interrupted at any moment, the same call again finishes what was begun.
   */
  deliver(desk: UnitDesk, serial: string): Promise<string>
  /** The serial number that the unit at hand tells by itself, where this way has an ear for it. */
  serialOf?(): Promise<string>
  /** Gives back doors, ports and names that it holds. */
  close(): Promise<void>
}
