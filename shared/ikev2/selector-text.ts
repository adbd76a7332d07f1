import { equalPublic } from '#shared/bytes/equal.ts'
import { AditError } from '#shared/errors.ts'
import { anyPort, fromCidr, opaquePort } from '#shared/ikev2/traffic-selectors.ts'
import type { TrafficSelector } from '#shared/wire/ike-payload/payload.ts'
import { formatAddress, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'

/**
 * Traffic selectors as swanctl.conf writes them in `local_ts` and `remote_ts`: `192.168.1.0/24`, `10.0.0.1..10.0.0.9`,
 * `fd00::/64[tcp/443]`, `0.0.0.0/0[udp/1000-1999]`, `10.0.0.1/32[17]`, `10.0.0.1/32[/opaque]`.
 */
const protocolNames: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  50: 'esp',
  58: 'ipv6-icmp',
  89: 'ospf',
  132: 'sctp',
}

export function selectorText(selector: TrafficSelector): string {
  return `${rangeText(selector)}${restrictionText(selector)}`
}

export const selectorTexts = (selectors: readonly TrafficSelector[]): string[] => selectors.map(selectorText)

function rangeText({ start, end }: TrafficSelector): string {
  const prefix = prefixOf(start, end)
  return prefix === undefined ? `${formatAddress(start)}..${formatAddress(end)}` : `${formatAddress(start)}/${prefix}`
}

/** The prefix length of the one network that the range is; undefined where it is none. */
function prefixOf(start: Uint8Array, end: Uint8Array): number | undefined {
  let prefix = 0
  while (prefix < start.length * 8 && bit(start, prefix) === bit(end, prefix)) prefix += 1
  const network = fromCidr({ address: start, prefix })
  return equalPublic(network.start, start) && equalPublic(network.end, end) ? prefix : undefined
}

const bit = (bytes: Uint8Array, i: number): number => (bytes[i >> 3]! >> (7 - (i & 7))) & 1

function restrictionText({ protocol, startPort, endPort }: TrafficSelector): string {
  const port =
    startPort === 0 && endPort === 65_535
      ? ''
      : startPort > endPort
        ? '/opaque'
        : startPort === endPort
          ? `/${startPort}`
          : `/${startPort}-${endPort}`
  if (protocol === 0 && port === '') return ''
  return `[${protocol === 0 ? '' : (protocolNames[protocol] ?? protocol)}${port}]`
}

/** Throws AditError `config-invalid`. */
export function parseSelector(text: string): TrafficSelector {
  const found = /^([^[\]]+)(?:\[([^[\]/]*)(?:\/([^[\]/]+))?\])?$/.exec(text.trim())
  if (found === null) throw invalid(text, 'it is no address range with an optional [protocol/port]')
  const [, range = '', protocol = '', port = ''] = found
  return { ...parseRange(range.trim(), text), protocol: parseProtocol(protocol, text), ...parsePorts(port, text) }
}

function parseRange(range: string, text: string): TrafficSelector {
  const ends = /^([^-]+?)(?:\.\.|-)([^-.].*)$/.exec(range)
  if (ends === null) {
    try {
      return fromCidr(parseCidr(range))
    } catch (error) {
      throw invalid(text, error instanceof Error ? error.message : String(error))
    }
  }
  const start = tryParseAddress(ends[1]!)
  const end = tryParseAddress(ends[2]!)
  if (start === undefined || end === undefined || start.length !== end.length)
    throw invalid(text, 'a range goes from one address to another of the same family')
  if (Buffer.compare(start, end) > 0) throw invalid(text, 'the range ends before it starts')
  return { protocol: 0, ...anyPort, start, end }
}

function parseProtocol(protocol: string, text: string): number {
  if (protocol === '' || protocol === 'any') return 0
  const named = Object.entries(protocolNames).find(
    ([, name]) => name === protocol || (protocol === 'icmpv6' && name === 'ipv6-icmp'),
  )
  const number = named === undefined ? decimal(protocol) : Number(named[0])
  if (!(number <= 255)) throw invalid(text, `the protocol ${JSON.stringify(protocol)} is not known`)
  return number
}

function parsePorts(port: string, text: string): Pick<TrafficSelector, 'startPort' | 'endPort'> {
  if (port === '' || port === 'any') return anyPort
  if (port === 'opaque') return opaquePort
  const [first = '', last = first, ...more] = port.split('-')
  const [startPort, endPort] = [decimal(first), decimal(last)]
  if (more.length > 0 || !(startPort <= endPort) || endPort > 65_535)
    throw invalid(text, 'ports are one number, or two from low to high, of 0 to 65535')
  return { startPort, endPort }
}

const decimal = (digits: string): number => (/^(0|[1-9]\d{0,4})$/.test(digits) ? Number(digits) : Number.NaN)

const invalid = (text: string, why: string): AditError =>
  new AditError(
    'config-invalid',
    `The traffic selector ${JSON.stringify(text.slice(0, 100))} cannot be read: ${why}.`,
    'Write it as 192.168.1.0/24, 10.0.0.1..10.0.0.9 or fd00::/64[tcp/443].',
  )
