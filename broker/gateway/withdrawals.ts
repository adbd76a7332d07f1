import type { Peers } from '#broker/gateway/peers.ts'
import type { Directory } from '#broker/registry/directory.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { fromHex } from '#shared/bytes/hex.ts'
import type { Netstack } from '#shared/netstack/netstack.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { milliseconds } from '#shared/time/instant.ts'
import { WITHDRAWAL_PORT } from '#shared/wire/withdrawal-notice.ts'

interface WithdrawalParts {
  peers: Pick<Peers, 'entries'>
  directory: Pick<Directory, 'byId'>
  netstack: Pick<Netstack, 'bindUdp'>
  timers: Timers
}

/** Said three times: a datagram may be lost, and what was withdrawn must end within a second. */
const saidAfter = [0, 200, 500].map(milliseconds)

/** Tells every operator whose tunnel is up that a device was revoked: their direct association knows nothing of the broker's tables. */
export class Withdrawals {
  readonly #parts: WithdrawalParts

  constructor(parts: WithdrawalParts) {
    this.#parts = parts
  }

  tell({ kind, tunnelKey }: Pick<Principal, 'kind' | 'tunnelKey'>): void {
    if (kind !== 'device' || tunnelKey === undefined) return
    const notice = fromHex(tunnelKey)
    for (const delay of saidAfter) this.#parts.timers.setTimer(delay, () => this.#send(notice))
  }

  #send(notice: Uint8Array): void {
    const { peers, directory, netstack } = this.#parts
    const socket = netstack.bindUdp({ port: WITHDRAWAL_PORT }, () => {})
    for (const [id] of peers.entries()) {
      const principal = directory.byId(id)
      const address = principal?.kind === 'operator' ? principal.addresses[0] : undefined
      if (address !== undefined) socket.send(notice, address, WITHDRAWAL_PORT)
    }
    socket.close()
  }
}
