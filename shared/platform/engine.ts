import type { DataPlane } from '#shared/dataplane/data-plane.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'

/**
 * What moves packets between the network, a data plane and an inner end (DESIGN D9). The cores know nothing of it: a second engine
 * (a worker thread that moves batches between the socket and a TUN) implements the same face.
 */
export interface Engine {
  readonly plane: DataPlane
  /** The UDP endpoint that is bound. */
  readonly local: Endpoint
  /** Sends an inner packet of this host; the bytes are borrowed for the call. Returns 0 or the DropReason that was counted. */
  send(packet: Uint8Array): number
  /** Some machine's deadline may have changed outside a datagram's arrival: look again before the event loop sleeps. */
  kick(): void
  /** Closes the port and stops every timer. Nothing is delivered afterwards. */
  close(): Promise<void>
}
