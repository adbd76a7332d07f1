import type { Instant } from '#shared/time/instant.ts'
import { ExchangeType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import type { ChildLifecycle } from './child-lifecycle.ts'
import type { ChildSa } from './child-sa.ts'
import type { IkeState } from './ike-state.ts'
import { espSpiBytes, espSpiText } from './spi.ts'
import type { Task } from './task.ts'

/** Deletes a Child SA (RFC 7296 §1.4.1). It carries on receiving until the peer has answered. */
export class DeleteChildTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly #state: IkeState
  readonly #lifecycle: ChildLifecycle
  readonly #child: ChildSa
  readonly #why: 'deleted' | 'expired'

  constructor(state: IkeState, lifecycle: ChildLifecycle, child: ChildSa, why: 'deleted' | 'expired' = 'deleted') {
    this.#state = state
    this.#lifecycle = lifecycle
    this.#child = child
    this.#why = why
    lifecycle.closing(child)
  }

  get name(): string {
    return `delete child ${espSpiText(this.#child.inboundSpi)}`
  }

  begin(): IkePayload[] | undefined {
    if (!this.#state.children.has(this.#child)) return undefined
    return [deleteChild(this.#child.inboundSpi)]
  }

  answered(_answer: readonly IkePayload[], _generation: unknown, now: Instant): void {
    this.#lifecycle.remove(this.#child, this.#why, now)
  }

  abandoned(): boolean {
    return true
  }
}

/** Tells the peer to forget a Child SA that we never installed: its answer was not acceptable. */
export class RefuseChildTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly name = 'refuse child'
  readonly #state: IkeState
  readonly #inboundSpi: number

  constructor(state: IkeState, inboundSpi: number) {
    this.#state = state
    this.#inboundSpi = inboundSpi
  }

  begin(): IkePayload[] {
    return [deleteChild(this.#inboundSpi)]
  }

  answered(): void {
    this.#state.context.releaseEspSpi(this.#inboundSpi)
  }

  abandoned(): boolean {
    this.#state.context.releaseEspSpi(this.#inboundSpi)
    return false
  }
}

const deleteChild = (inboundSpi: number): IkePayload => ({
  kind: 'delete',
  protocol: ProtocolId.Esp,
  spis: [espSpiBytes(inboundSpi)],
})
