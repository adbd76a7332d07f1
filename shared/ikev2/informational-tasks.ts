import { ExchangeType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import type { Generation } from './generation.ts'
import type { IkeState } from './ike-state.ts'
import type { Task } from './task.ts'

/** Asks whether the peer lives: an INFORMATIONAL without payloads (RFC 7296 §1.4). The answer's coming is the answer. */
export class ProbeTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly name = 'liveness check'

  begin(): IkePayload[] {
    return []
  }

  answered(): void {}

  abandoned(): boolean {
    return false
  }
}

/** Deletes the generation in whose queue it is; with the current one of a closing association, the association ends. */
export class DeleteIkeTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly name = 'delete IKE SA'
  readonly #state: IkeState
  /** Payloads that go before the delete. */
  readonly #also: readonly IkePayload[]

  constructor(state: IkeState, also: readonly IkePayload[] = []) {
    this.#state = state
    this.#also = also
  }

  begin(): IkePayload[] {
    return [...this.#also, { kind: 'delete', protocol: ProtocolId.Ike, spis: [] }]
  }

  answered(_answer: readonly IkePayload[], generation: Generation): void {
    if (generation === this.#state.current && this.#state.state === 'closing') this.#state.end(this.#state.closingWhy)
    else this.#state.forget(generation)
  }

  abandoned(): boolean {
    return false
  }
}
