/** By which road a unit gets its identity: a card or image, the line's LAN, or its serial console. */
export type WayKind = 'image' | 'network' | 'serial'

/** What happens to one unit, in this order; `failed` and `scrapped` may follow any of them, and a retry begins again. */
export type UnitStep = 'opened' | 'issued' | 'writing' | 'verifying' | 'delivered' | 'labelled' | 'failed' | 'scrapped'

/** Told by the line as it happens: to the operator's screen, and as JSON lines to a MES. */
export interface LineEvent {
  /** Wall-clock ms. */
  readonly at: number
  readonly step: UnitStep
  /** The unit's serial number, as the ledger has it. */
  readonly serial: string
  readonly name: string
  readonly way: WayKind
  /** Of a failure: its stable code, its cause and its mend; of a scrapped unit, the reason that a person gave. */
  readonly code?: string
  readonly detail?: string
  readonly mend?: string
  /** 0 to 1, of long steps. */
  readonly progress?: number
}

/** What a screen shows besides events, as it is at one moment. */
export interface LineCount {
  readonly station: string
  /** How many the ledger has delivered once the batch is done, those before it included; undefined where there is no batch. */
  readonly planned: number | undefined
  readonly delivered: number
  readonly failed: number
  readonly scrapped: number
  /** Certificates that the delegation still allows. */
  readonly quotaLeft: number
  /** End of the delegation, wall-clock ms. */
  readonly until: number
  /** Units of the ledger that the broker has not taken yet. */
  readonly unsynced: number
}
