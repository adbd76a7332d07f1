import type { Instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import type { Generation } from './generation.ts'

/** One exchange that we want to begin. It waits in the queue of a generation until the window is free. */
export interface Task {
  /** Shown in diagnostics: "rekey child c0ffee01". */
  readonly name: string
  /** ExchangeType. */
  readonly exchange: number
  /** Where the request goes, if not along the present path. */
  readonly to?: Endpoint
  /** The request's payloads; undefined: there is no need for it any more. Called when it is sent, again only after `abandoned`. */
  begin(generation: Generation, now: Instant): readonly IkePayload[] | undefined
  /** The peer's answer, authentic and decoded. */
  answered(answer: readonly IkePayload[], generation: Generation, now: Instant): void
  /**
   * The generation ended before an answer came, or before the task began. True: it is to be begun again in the generation that follows,
   * if one does.
   */
  abandoned(): boolean
}
