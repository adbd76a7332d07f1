import { isAllZero } from '#shared/bytes/equal.ts'
import { CpAttribute, CpType } from '#shared/wire/ike-numbers.ts'
import type { CpPayload } from '#shared/wire/ike-payload/payload.ts'
import type { Cidr } from '#shared/wire/ip-address.ts'

/** What the configuration payload of IKE_AUTH says (RFC 7296 §3.15): inner addresses and name servers for whoever asks. */

/** The inner addresses and name servers that we ask for. */
export interface ConfigurationWish {
  readonly ip4: boolean
  readonly ip6: boolean
  readonly dns: boolean
}

/** CFG_REQUEST; undefined where nothing is wished for. */
export function configurationRequest({ ip4, ip6, dns }: ConfigurationWish): CpPayload | undefined {
  const attributes = [
    ...(ip4 ? [question(CpAttribute.InternalIp4Address)] : []),
    ...(ip6 ? [question(CpAttribute.InternalIp6Address)] : []),
    ...(ip4 && dns ? [question(CpAttribute.InternalIp4Dns)] : []),
    ...(ip6 && dns ? [question(CpAttribute.InternalIp6Dns)] : []),
  ]
  return ip4 || ip6 ? { kind: 'cp', type: CpType.Request, attributes } : undefined
}

const question = (type: number): CpPayload['attributes'][number] => ({ type, value: new Uint8Array() })

/** What is ours to give: addresses of 4 or 16 bytes. */
export interface ConfigurationGift {
  readonly virtualAddresses: readonly Uint8Array[]
  readonly dns: readonly Uint8Array[]
}

/**
 * CFG_REPLY to a request: the addresses and name servers of the families that it asks for. What the peer would like to have is not
 * looked at, its addresses are granted by name. Undefined where it is no request. `refused`: it asks for an address and there is none of
 * that family for it (INTERNAL_ADDRESS_FAILURE, RFC 7296 §3.10.1), where no other family serves it either.
 */
export function answerConfiguration(request: CpPayload, gift: ConfigurationGift): CpPayload | 'refused' | undefined {
  if (request.type !== CpType.Request) return undefined
  const asked = new Set(request.attributes.map(({ type }) => type))
  const addresses = gift.virtualAddresses.filter((address) => asked.has(addressType(address)))
  const wantsAddress = asked.has(CpAttribute.InternalIp4Address) || asked.has(CpAttribute.InternalIp6Address)
  if (wantsAddress && addresses.length === 0) return 'refused'
  const servers = gift.dns.filter((address) => asked.has(dnsType(address)))
  return {
    kind: 'cp',
    type: CpType.Reply,
    attributes: [
      ...addresses.map((address) => ({ type: addressType(address), value: withPrefix(address) })),
      ...servers.map((address) => ({ type: dnsType(address), value: address })),
    ],
  }
}

const addressType = (address: Uint8Array): number =>
  address.length === 4 ? CpAttribute.InternalIp4Address : CpAttribute.InternalIp6Address
const dnsType = (address: Uint8Array): number => (address.length === 4 ? CpAttribute.InternalIp4Dns : CpAttribute.InternalIp6Dns)

/** An IPv6 address goes with the length of its prefix (§3.15.1): it is one host's. */
const withPrefix = (address: Uint8Array): Uint8Array => (address.length === 4 ? address : Uint8Array.of(...address, 128))

/** What a CFG_REPLY gave us. */
export interface Configuration {
  /** 4 or 16 bytes each, fresh memory. */
  readonly addresses: readonly Uint8Array[]
  readonly dns: readonly Uint8Array[]
  /** Networks behind the peer, where it says so. */
  readonly subnets: readonly Cidr[]
}

/** Addresses, servers and networks at most: the rest of a longer reply is passed over. */
const listLimit = 16

/** Undefined where it is no reply. Attributes that are not known, and addresses that are nobody's, are passed over. */
export function readConfiguration(reply: CpPayload): Configuration | undefined {
  if (reply.type !== CpType.Reply) return undefined
  const values = (...types: readonly number[]): Uint8Array[] =>
    reply.attributes.filter(({ type, value }) => types.includes(type) && value.length > 0).map(({ value }) => value.slice())
  const addresses = values(CpAttribute.InternalIp4Address, CpAttribute.InternalIp6Address).map((value) =>
    value.length === 17 ? value.slice(0, 16) : value,
  )
  return {
    addresses: addresses.filter(isSomebodys).slice(0, listLimit),
    dns: values(CpAttribute.InternalIp4Dns, CpAttribute.InternalIp6Dns).filter(isSomebodys).slice(0, listLimit),
    subnets: values(CpAttribute.InternalIp4Subnet, CpAttribute.InternalIp6Subnet)
      .flatMap((value) => subnetOf(value) ?? [])
      .slice(0, listLimit),
  }
}

/** Neither unspecified nor multicast nor loopback. */
function isSomebodys(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] !== 0 && address[0] !== 127 && address[0]! < 224
  if (address.length !== 16 || address[0] === 0xff) return false
  return !isAllZero(address.subarray(0, 15))
}

/** IPv4: address and mask; IPv6: address and prefix length. */
function subnetOf(value: Uint8Array): Cidr | undefined {
  if (value.length === 17) return value[16]! <= 128 ? { address: value.slice(0, 16), prefix: value[16]! } : undefined
  if (value.length !== 8) return undefined
  const mask = value.subarray(4).reduce((sum, byte) => sum * 256 + byte, 0)
  const prefix = Math.clz32(~mask)
  const straight = mask === (prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0)
  return straight ? { address: value.slice(0, 4), prefix } : undefined
}
