import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatAddress, parseAddress } from '#shared/wire/ip-address.ts'

/** What the system shows of the network that the default route leads into. */
export interface NetworkView {
  readonly interface: string
  /** Literal address; undefined on a line without a gateway (a modem's point-to-point link). */
  readonly gateway: string | undefined
  /** MAC address of the gateway, where it has been resolved. */
  readonly mac: string | undefined
  readonly link: 'wifi' | 'mobile' | 'ethernet' | 'other'
}

/** Where Linux shows it; a test gives other roots. */
export interface NetworkSources {
  readonly proc: string
  readonly sys: string
}

const linux: NetworkSources = { proc: '/proc', sys: '/sys' }

/** ARPHRD_ETHER, and those of modems: PPP, raw IP, none (include/uapi/linux/if_arp.h). */
const ETHERNET = 1
const MODEMS: readonly number[] = [512, 519, 0xfffe]

/**
 * Tells this network from others without storing what it is: SHA-256 over salt, gateway, its MAC address, the kind of link and our
 * public address, 32 hex digits. Undefined where there is no default route to be seen (no Linux, no network).
 */
export async function networkFingerprint(
  { salt, publicAddress }: { salt: string; publicAddress: string },
  sources: NetworkSources = linux,
): Promise<string | undefined> {
  const view = await viewNetwork(sources)
  if (view === undefined) return undefined
  const parts = [salt, view.link, view.gateway ?? view.interface, view.mac ?? '', publicAddress]
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 32)
}

export async function viewNetwork({ proc, sys }: NetworkSources = linux): Promise<NetworkView | undefined> {
  const route = defaultRoute4(await textOf(join(proc, 'net/route'))) ?? defaultRoute6(await textOf(join(proc, 'net/ipv6_route')))
  if (route === undefined) return undefined
  const mac = route.gateway === undefined ? undefined : macOf(route.gateway, await textOf(join(proc, 'net/arp')))
  return { ...route, mac, link: await linkOf(route.interface, { proc, sys }) }
}

/** The default gateways of both families, as literal addresses that datagrams can be sent to: link-local ones with their zone. */
export async function defaultGateways({ proc }: Pick<NetworkSources, 'proc'> = linux): Promise<string[]> {
  const four = defaultRoute4(await textOf(join(proc, 'net/route')))?.gateway
  const six = defaultRoute6(await textOf(join(proc, 'net/ipv6_route')))
  const address = six?.gateway === undefined ? undefined : formatAddress(parseAddress(six.gateway))
  return [four, address?.startsWith('fe80:') ? `${address}%${six!.interface}` : address].filter(
    (gateway) => gateway !== undefined,
  )
}

type Route = Pick<NetworkView, 'interface' | 'gateway'>

/** Destination and mask 0, the least metric. Addresses are hex words in the host's order, which is little-endian wherever Node runs. */
function defaultRoute4(table: string): Route | undefined {
  const rows = table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
  const defaults = rows.filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
  const best = defaults.sort((a, b) => Number(a[6]) - Number(b[6]))[0]
  if (best === undefined) return undefined
  const bytes = Buffer.from(best[2] ?? '', 'hex').reverse()
  return { interface: best[0]!, gateway: bytes.length !== 4 || bytes.readUInt32BE() === 0 ? undefined : bytes.join('.') }
}

/** Prefix ::/0 with a next hop; metric in hex. */
function defaultRoute6(table: string): Route | undefined {
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/))
  const defaults = rows.filter(
    ([prefix, length, , , hop, , , , , name]) =>
      /^0{32}$/.test(prefix ?? '') && length === '00' && hop !== undefined && name !== 'lo',
  )
  const best = defaults.sort((a, b) => Number.parseInt(a[5]!, 16) - Number.parseInt(b[5]!, 16))[0]
  if (best === undefined) return undefined
  const hop = best[4]!
  return { interface: best[9]!, gateway: /^0+$/.test(hop) ? undefined : hop.replace(/(.{4})(?=.)/g, '$1:') }
}

/** Flag 2: the entry is complete. */
function macOf(address: string, table: string): string | undefined {
  const row = table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .find(([ip]) => ip === address)
  return row !== undefined && Number.parseInt(row[2] ?? '0', 16) & 2 ? row[3] : undefined
}

async function linkOf(name: string, { proc, sys }: NetworkSources): Promise<NetworkView['link']> {
  if (!/^[\w.@-]{1,32}$/.test(name)) return 'other'
  const folder = join(sys, 'class/net', name)
  const type = Number((await textOf(join(folder, 'type'))) || Number.NaN)
  const uevent = await textOf(join(folder, 'uevent'))
  if (/^DEVTYPE=wwan$/m.test(uevent) || MODEMS.includes(type)) return 'mobile'
  const wireless = await textOf(join(proc, 'net/wireless'))
  if (/^DEVTYPE=wlan$/m.test(uevent) || wireless.split('\n').some((line) => line.trim().startsWith(`${name}:`))) return 'wifi'
  return type === ETHERNET ? 'ethernet' : 'other'
}

const textOf = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')
