import type { Peers } from '#broker/gateway/peers.ts'
import type { Directory } from '#broker/registry/directory.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Flow } from '#shared/dataplane/flow.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { milliseconds } from '#shared/time/instant.ts'
import { WITHDRAWAL_PORT } from '#shared/wire/withdrawal-notice.ts'

interface WithdrawalParts {
  peers: Pick<Peers, 'entries'>
  directory: Pick<Directory, 'byId' | 'byPeerKey'>
  netstack: Pick<Netstack, 'bindUdp'>
  timers: Timers
}

/** Said three times: a datagram may be lost, and what was withdrawn must end within a second. */
const saidAfter = [0, 200, 500].map(milliseconds)

/**
 * Tells operators whose tunnels are up which devices they may hold no association with any more: those know nothing of the broker's tables,
 * and what a device says to that end comes through the broker no longer.
 */
export class Withdrawals {
  readonly #parts: WithdrawalParts

  constructor(parts: WithdrawalParts) {
    this.#parts = parts
  }

  /** A device was revoked: all operators are told. */
  tell(device: Pick<Principal, 'kind' | 'tunnelKey'>): void {
    this.#say(device, () => this.#operators())
  }

  /** No grant holds any more between the two ends of this flow. */
  part({ initiator, responder }: Pick<Flow, 'initiator' | 'responder'>): void {
    const { directory } = this.#parts
    const [operator, device] = [initiator, responder].map((end) => end && directory.byPeerKey(end.peerKey))
    if (operator?.kind === 'operator' && device !== undefined) this.#say(device, () => [operator])
  }

  #say({ kind, tunnelKey }: Pick<Principal, 'kind' | 'tunnelKey'>, to: () => Iterable<Principal>): void {
    if (kind !== 'device' || tunnelKey === undefined) return
    const notice = fromHex(tunnelKey)
    for (const delay of saidAfter) this.#parts.timers.setTimer(delay, () => this.#send(notice, to()))
  }

  #send(notice: Uint8Array, operators: Iterable<Principal>): void {
    const socket = this.#parts.netstack.bindUdp({ port: WITHDRAWAL_PORT }, () => {})
    for (const { addresses } of operators) if (addresses[0] !== undefined) socket.send(notice, addresses[0], WITHDRAWAL_PORT)
    socket.close()
  }

  *#operators(): Iterable<Principal> {
    const { peers, directory } = this.#parts
    for (const [id] of peers.entries()) {
      const principal = directory.byId(id)
      if (principal?.kind === 'operator') yield principal
    }
  }
}
