import type { Host } from './namespaces.ts'

/** All of a host's network that a tunnel could have left: addresses, routes and rules, in an order of their own. */
export function networkSnapshot(host: Host): string {
  const parts = ['-4 rule', '-6 rule', '-4 route show table all', '-6 route show table all', '-o address show']
  const lines = parts.flatMap((part) => host.ip(part).split('\n'))
  // Link-local addresses come when they like; the order in which routes were made again is no matter.
  return lines
    .filter((line) => !/fe80|ff00|\bmulticast\b/.test(line))
    .map((line) => line.trim())
    .sort()
    .join('\n')
}
