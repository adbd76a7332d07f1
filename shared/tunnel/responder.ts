import { DropReason } from '#shared/drop-reason.ts'
import { RESPONSE_LENGTH } from '#shared/wire/wireguard-response.ts'
import { putMacs } from './cookie.ts'
import type { EndpointCore } from './endpoint-core.ts'
import { type OpenedInitiation, splitKeys, writeResponse } from './handshake.ts'
import type { PeerKeys } from './peer-keys.ts'

/** A response ready to be sent, and the session that it offers. The caller wipes the keys. */
export interface Reply {
  readonly message: Uint8Array
  readonly local: number
  readonly mac1: Uint8Array
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
}

/** The answering half of an association: three DHs and a fresh key for an initiation that has proven itself. */
export function answer(
  core: EndpointCore,
  opened: OpenedInitiation,
  keys: PeerKeys,
  cookie: Uint8Array | undefined,
): Reply | DropReason {
  const { local } = core
  const message = new Uint8Array(RESPONSE_LENGTH)
  const sender = core.pickIndex(keys.hex)
  if (!writeResponse(opened, { sender, psk: keys.psk }, message)) return DropReason.LowOrderPoint
  const mac1 = putMacs(local.suite, message, opened.publicKey, cookie).slice()
  const [receiveKey, sendKey] = splitKeys(opened.handshake)
  return { message, local: sender, mac1, sendKey, receiveKey }
}
