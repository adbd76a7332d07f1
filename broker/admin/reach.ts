import type { Config } from '#broker/config.ts'
import { trySplitListen } from '#broker/config.ts'
import { splitEndpoint } from '#broker/endpoint-text.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { contains, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'
import type { Extent, Reach } from './office.ts'

/** Where a broker listens or last listened: "ADDR:PORT" of UDP, and the API's URL. */
export interface Listening {
  readonly listen: string
  readonly api: string
}

/** URLs in a claim at most; its codec takes eight. */
const mostUrls = 8

/**
 * How others reach the broker. What is configured wins; else where it listens (`listening`), a wildcard standing for this machine's
 * own addresses; else where the configuration says that it will listen, unless that is port 0, which says nothing.
 */
export function reachOf(config: Config, listening: Listening | undefined, addresses: readonly string[]): Reach {
  const api = listening ? listening.api.replace(/^https:\/\//, '') : config.api
  const udp = listening ? listening.listen : config.listen
  return {
    api: config.publicApi.length > 0 ? config.publicApi : places(api, addresses).map((place) => `https://${place}`),
    endpoints: config.publicEndpoints.length > 0 ? config.publicEndpoints : places(udp, addresses),
    addresses: literalsOf(config, addresses),
    extent: {
      api: extentOf(config.publicApi, api, addresses),
      endpoints: extentOf(config.publicEndpoints, udp, addresses),
    },
  }
}

/** What a person has named is taken at their word; of a machine's own addresses, one that the world can use is enough. */
function extentOf(configured: readonly string[], listen: string, addresses: readonly string[]): Extent {
  const { address = '::' } = trySplitListen(listen) ?? {}
  if (configured.length > 0 || !isWildcard(address) || addresses.some(isPublic)) return 'anywhere'
  return addresses.every((own) => own.startsWith('127.')) ? 'machine' : 'network'
}

/** For agents whose DNS is dead (F-08). Without a configured list, this machine's own addresses, where the whole world can use them. */
function literalsOf({ publicApi, publicAddresses }: Config, addresses: readonly string[]): readonly string[] {
  const isNamed = publicApi.some((url) => tryParseAddress(new URL(url).hostname.replace(/^\[|\]$/g, '')) === undefined)
  if (!isNamed) return []
  return publicAddresses.length > 0 ? publicAddresses : addresses.filter(isPublic).slice(0, mostUrls)
}

const privateNetworks = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
]
  .concat('::/16', 'fc00::/7', 'fe80::/10')
  .map(parseCidr)

const isPublic = (text: string): boolean => {
  const address = tryParseAddress(text)
  return address !== undefined && !privateNetworks.some((network) => contains(network, address))
}

/** Host names and addresses that the API's certificate must be good for. */
export function apiHosts(config: Config, addresses: readonly string[]): string[] {
  const urls = config.publicApi.map((url) => new URL(url).hostname.replace(/^\[|\]$/g, ''))
  const own = trySplitListen(config.api)?.address
  return [...new Set([...config.apiNames, ...urls, ...(own === undefined || isWildcard(own) ? addresses : [own])])]
}

/** Host names and addresses that the certificate of the broker's IKE must be good for, the likeliest to be asked for first. */
export function ikeHosts(config: Config, addresses: readonly string[]): string[] {
  const { id } = config.ipsec
  const endpoints = config.publicEndpoints.map((endpoint) => splitEndpoint(endpoint)[0])
  return [...new Set([...(id === undefined ? [] : [id]), ...endpoints, ...apiHosts(config, addresses)])]
}

function places(listen: string, addresses: readonly string[]): string[] {
  const split = trySplitListen(listen)
  if (split === undefined || split.port === 0) return []
  const { address, port } = split
  const hosts = address === undefined || isWildcard(address) ? addresses : [address]
  return hosts
    .filter((host) => address !== '0.0.0.0' || !host.includes(':'))
    .slice(0, mostUrls)
    .map((host) => endpointText({ address: host, port }))
}

const isWildcard = (address: string): boolean => address === '::' || address === '0.0.0.0'
