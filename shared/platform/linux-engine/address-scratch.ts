import type { Endpoint } from '#shared/wire/endpoint.ts'
import type { NativeMemory } from './memory.ts'
import { readSocketAddress, SOCKET_ADDRESS_ROOM, writeSocketAddress } from './socket-address.ts'

/** What stands for a sender whose address could not be read; nothing is ever sent there. */
export const nowhere: Endpoint = { address: '::', port: 0 }

/** Socket addresses that are kept outside native memory, and the endpoints that they are. */
export class AddressScratch {
  readonly #memory: NativeMemory
  readonly #at: number

  constructor(memory: NativeMemory) {
    this.#memory = memory
    this.#at = memory.allocate(SOCKET_ADDRESS_ROOM)
  }

  endpointOf(address: Uint8Array): Endpoint {
    this.#memory.bytes.set(address, this.#at)
    return readSocketAddress(this.#memory, this.#at) ?? nowhere
  }

  /** Empty where the endpoint is no literal address. */
  addressOf(endpoint: Endpoint): Uint8Array {
    const length = writeSocketAddress(this.#memory, this.#at, endpoint)
    return this.#memory.bytes.slice(this.#at, this.#at + length)
  }
}
