import type { Flow } from '#shared/dataplane/flow.ts'

/** A flow that a faster road carries on beside the filter, under the filter's verdict. */
export interface OffloadedFlow {
  /** Takes over into `flow` what has passed there since: when last, how many bytes, what its ends have said. */
  refresh(flow: Flow): void
  /** Nothing of the flow passes there any more. */
  forget(): void
}

/** Who carries flows on that the filter has let pass. */
export interface FlowOffload {
  /** Called for packets of open flows that it has not taken yet; undefined: it does not take it now. */
  take(flow: Flow): OffloadedFlow | undefined
}
