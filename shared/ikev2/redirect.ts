import { concat } from '#shared/bytes/concat.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { isHostName } from '#shared/pki/host-name.ts'
import { ExchangeType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, NotifyPayload } from '#shared/wire/ike-payload/payload.ts'
import { formatAddress, tryParseAddress } from '#shared/wire/ip-address.ts'
import { findNotify, notify } from './notify.ts'
import type { Task } from './task.ts'

/**
 * REDIRECT (RFC 5685): a gateway that drains sends its peers elsewhere, before they have begun (in answer to the first message, proven by
 * the nonce of that message; ours do not) or at any time later. The peer authenticates the other gateway as it would have this one.
 *
 *   | type of identity (1): 1 IPv4, 2 IPv6, 3 FQDN | length (1) | identity | nonce of the first message, in its answer alone |
 */
const GatewayId = { Ipv4: 1, Ipv6: 2, Fqdn: 3 } as const

/** `to`: a literal address or a host name. Throws RangeError for anything else. */
function encodeGateway(to: string): Uint8Array {
  const address = tryParseAddress(to)
  if (address === undefined && !isHostName(to)) throw new RangeError('a gateway is a literal address or a host name')
  const identity = address ?? Uint8Array.from(Buffer.from(to, 'latin1'))
  const type = address === undefined ? GatewayId.Fqdn : address.length === 4 ? GatewayId.Ipv4 : GatewayId.Ipv6
  return concat(Uint8Array.of(type, identity.length), identity)
}

/** The gateway and what stands behind it; undefined where it is none. */
function decodeGateway(data: Uint8Array): { to: string; rest: Uint8Array } | undefined {
  const [type, length] = data
  if (type === undefined || length === undefined || data.length < 2 + length) return undefined
  const identity = data.subarray(2, 2 + length)
  const rest = data.subarray(2 + length)
  if (type === GatewayId.Fqdn) {
    const name = Buffer.from(identity).toString('latin1')
    return isHostName(name) ? { to: name, rest } : undefined
  }
  const isAddress = (type === GatewayId.Ipv4 && length === 4) || (type === GatewayId.Ipv6 && length === 16)
  return isAddress ? { to: formatAddress(identity), rest } : undefined
}

/** Where the answer to our first message sends us; the nonce shows that it is an answer to it. */
export function redirectedByFirst(answer: readonly IkePayload[], nonce: Uint8Array): string | undefined {
  const gateway = gatewayOf(answer)
  return gateway !== undefined && equalPublic(gateway.rest, nonce) ? gateway.to : undefined
}

/** Where an authentic message of the gateway sends us. */
export const redirected = (payloads: readonly IkePayload[]): string | undefined => gatewayOf(payloads)?.to

function gatewayOf(payloads: readonly IkePayload[]): ReturnType<typeof decodeGateway> {
  const said = findNotify(payloads, NotifyType.Redirect)
  return said === undefined ? undefined : decodeGateway(said.data)
}

/** Which gateway sent us to the one that we speak to (§4). */
export const redirectedFrom = (gateway: string): NotifyPayload => notify(NotifyType.RedirectedFrom, encodeGateway(gateway))

/** Sends an established peer elsewhere (§5). It leaves by itself. */
export class RedirectTask implements Task {
  readonly exchange = ExchangeType.Informational
  readonly name = 'redirect'
  readonly #gateway: Uint8Array

  constructor(to: string) {
    this.#gateway = encodeGateway(to)
  }

  begin(): IkePayload[] {
    return [notify(NotifyType.Redirect, this.#gateway)]
  }

  answered(): void {}

  abandoned(): boolean {
    return true
  }
}
