import { networkInterfaces } from 'node:os'

/** This machine's own addresses that others may reach it by, IPv4 first; loopback where there is nothing else. */
export function machineAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  const outer = all.filter(({ internal, address }) => !internal && !address.toLowerCase().startsWith('fe80:'))
  const texts = outer.sort((a, b) => a.family.localeCompare(b.family)).map(({ address }) => address)
  return texts.length > 0 ? [...new Set(texts)] : ['127.0.0.1']
}

/** The IPv4 networks that this machine is on, as "10.0.0.5/8". */
export function machineNetworks(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .flatMap(({ cidr }) => cidr ?? [])
}
