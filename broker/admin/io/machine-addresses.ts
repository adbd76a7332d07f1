import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { formatAddress } from '#shared/wire/ip-address.ts'

/**
 * This machine's own addresses that others may reach it by, IPv4 first: of interfaces with a carrier; else of those without, as a cable has
 * that is not plugged in yet; loopback where there is nothing else.
 */
export function machineAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const outer = all.filter(({ internal, address }) => !internal && !address.toLowerCase().startsWith('fe80:'))
  const texts = outer.sort((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address)
  if (texts.length > 0) return [...new Set(texts)]
  const configured = [...localIpv4(readTable('/proc/net/fib_trie')), ...globalIpv6(readTable('/proc/net/if_inet6'))]
  return configured.length > 0 ? configured : ['127.0.0.1']
}

/** The IPv4 networks that this machine is on, as "10.0.0.5/8". */
export function machineNetworks(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .flatMap(({ cidr }) => cidr ?? [])
}

/** The addresses in Linux's routing table that are its own, loopback left out. */
export function localIpv4(trie: string): string[] {
  const own = [...trie.matchAll(/\|-- ([\d.]+)\n\s*\/32 host LOCAL/g)].map(([, address]) => address!)
  return [...new Set(own)].filter((address) => !address.startsWith('127.'))
}

/** The addresses in Linux's table of them that are good anywhere: lines of address, interface, prefix length, scope, flags, name. */
export function globalIpv6(table: string): string[] {
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/))
  return rows.filter(([, , , scope]) => scope === '00').map(([hex]) => formatAddress(Buffer.from(hex!, 'hex')))
}

/** Empty on other systems than Linux. */
function readTable(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
