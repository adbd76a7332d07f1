import { readdir, readFile, statfs } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import type { Facts, InterfaceFact, RouteFacts } from '#agent/doctor/facts.ts'
import { contains, formatAddress, parseCidr, tryParseAddress } from '#shared/wire/ip-address.ts'

/** Interfaces but loopback, those without a link too, as far as this system shows them. */
export async function readInterfaces(): Promise<InterfaceFact[]> {
  const known = networkInterfaces()
  const names = new Set([...Object.keys(known), ...(await readdir('/sys/class/net').catch(() => []))])
  const facts: InterfaceFact[] = []
  for (const name of names) {
    const own = known[name] ?? []
    if (name === 'lo' || own.some(({ internal }) => internal)) continue
    const addresses = own.map(({ address }) => address).filter((address) => !/^(?:fe80|169\.254\.)/i.test(address))
    const state = await readFile(`/sys/class/net/${name}/operstate`, 'utf8').catch(() => 'unknown')
    // A tunnel's interface knows no link and says so.
    facts.push({ name, up: addresses.length > 0 || state.trim() === 'up', addresses })
  }
  return facts
}

interface Route {
  readonly network: ReturnType<typeof parseCidr>
  readonly gateway: string | undefined
}

/** The kernel's tables, where it shows them: a default route, or one that leads to one of `towards`. */
export async function readRoutes(towards: readonly string[]): Promise<RouteFacts | undefined> {
  const text = await readFile('/proc/net/route', 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const v4 = text.split('\n').slice(1).flatMap(routeOfLine)
  const v6 = (await readFile('/proc/net/ipv6_route', 'utf8').catch(() => '')).split('\n').flatMap(route6OfLine)
  const targets = towards.flatMap((address) => tryParseAddress(address) ?? [])
  const leads = (routes: readonly Route[], length: number): Route | undefined =>
    routes.find(({ network }) => network.prefix === 0) ??
    routes.find(({ network }) => targets.some((target) => target.length === length && contains(network, target)))
  const out = leads(v4, 4)
  const gateway = v4.find(({ network, gateway: hop }) => network.prefix === 0 && hop !== undefined)?.gateway
  return {
    ipv4: out !== undefined,
    ipv6: leads(v6, 16) !== undefined,
    ...(gateway !== undefined && { gateway: { address: gateway, answers: await isNeighbour(gateway) } }),
  }
}

/** `eth0 00000000 0107A8C0 0003 …`: destination, gateway and mask are words of the machine, least byte first. */
function routeOfLine(line: string): Route[] {
  const [name, destination, gateway, flags, , , , mask] = line.split(/\s+/)
  if (name === undefined || name === 'lo' || mask === undefined || (Number.parseInt(flags!, 16) & 1) === 0) return []
  const address = (word: string): string => formatAddress(Uint8Array.from(Buffer.from(word, 'hex')).reverse())
  const length = [...Number.parseInt(mask, 16).toString(2)].filter((bit) => bit === '1').length
  return [
    { network: parseCidr(`${address(destination!)}/${length}`), gateway: gateway === '00000000' ? undefined : address(gateway!) },
  ]
}

const reject = 0x200

/** Destination and length in hex; the flags tell a route that refuses. */
function route6OfLine(line: string): Route[] {
  const [destination, length, , , , , , , flags, name] = line.trim().split(/\s+/)
  if (name === undefined || name === 'lo' || (Number.parseInt(flags!, 16) & (reject | 1)) !== 1) return []
  const address = formatAddress(Uint8Array.from(Buffer.from(destination!, 'hex')))
  // Every interface has these, and they lead nowhere.
  if (/^(?:fe80|ff)/.test(address)) return []
  return [{ network: parseCidr(`${address}/${Number.parseInt(length!, 16)}`), gateway: undefined }]
}

/** Flag 2 in the neighbour table: its hardware address is known. */
async function isNeighbour(address: string): Promise<boolean> {
  const table = await readFile('/proc/net/arp', 'utf8').catch(() => '')
  const line = table.split('\n').find((row) => row.startsWith(`${address} `))
  // Routers that need no such table (a point-to-point link) are not in it.
  return line === undefined || (Number.parseInt(line.split(/\s+/)[2] ?? '0', 16) & 2) !== 0
}

export async function readDisk(path: string): Promise<NonNullable<Facts['disk']>> {
  const { bavail, bsize } = await statfs(path)
  return { path, freeBytes: bavail * bsize }
}
