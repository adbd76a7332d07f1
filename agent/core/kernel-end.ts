import type { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import type { Association } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'

/** The kernel as this end's inner end beside the netstack, and the fast road to it: what the shell gives where there is a TUN. */
export interface KernelEnd {
  /** To whom endpoints hand their sessions. */
  readonly sessions: DataLane
  /** Whether a packet to this end is the kernel's, and not the netstack's. */
  isKernels(packet: Uint8Array): boolean
  /** Gives it to the kernel; borrowed for the call. */
  deliver(packet: Uint8Array): void
  /**
   * A packet of this kind was let pass: what follows it in the same direction between the same ends may take the fast road. Undefined
   * stands for this end. Harmless for packets that begin or end something, which never do.
   */
  passed(packet: InnerPacket, from: Association | undefined, to: Association | undefined): void
  /** Who may speak with whom, or by which way, is another question now: everything is asked about anew. */
  forget(): void
  /** The largest packet that the path to `hub` takes, bytes. What is longer is asked about, even of what may take the fast road. */
  resize(mtu: number, hub: Association | undefined): void
}
