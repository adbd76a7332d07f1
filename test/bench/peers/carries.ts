import type { Host } from '#test/lab/namespaces.ts'
import { seen } from '#test/lab/seen.ts'
import type { Bed } from './bed.ts'
import type { Tunnel } from './contender.ts'

/** Fails with a sentence unless the tunnel carries data: pings are answered, and both interfaces have counted them. */
export async function assertCarries(bed: Bed, tunnel: Tunnel): Promise<void> {
  await seen(
    () => bed.a.pings(tunnel.innerB),
    (answered) => answered > 0,
    { timeoutMs: 20_000, otherwise: () => `no ping of ${tunnel.innerA} is answered by ${tunnel.innerB}` },
  )
  const counted = () => [packetsOf(bed.a, tunnel.deviceA), packetsOf(bed.b, tunnel.deviceB)]
  const before = counted()
  const pings = 5
  await bed.a.pings(tunnel.innerB, pings)
  const moved = counted().map((packets, end) => packets - before[end]!)
  if (moved.some((packets) => packets < pings)) {
    throw new Error(
      `${pings} pings went elsewhere than through the tunnel: ${tunnel.deviceA} and ${tunnel.deviceB} counted ${moved}`,
    )
  }
}

/** Packets that an interface has sent and received. Those of a super-packet (GSO) count as one. */
export function packetsOf(host: Host, device: string): number {
  const [link] = JSON.parse(host.ip(`-j -s link show dev ${device}`)) as [{ stats64: { rx: Count; tx: Count } }]
  return link.stats64.rx.packets + link.stats64.tx.packets
}

/** Bytes that an interface has sent and received, without any link-layer header that it lacks. */
export function bytesOf(host: Host, device: string): number {
  const [link] = JSON.parse(host.ip(`-j -s link show dev ${device}`)) as [{ stats64: { rx: Count; tx: Count } }]
  return link.stats64.rx.bytes + link.stats64.tx.bytes
}

interface Count {
  packets: number
  bytes: number
}

/** Of an interface, bytes. */
export const mtuOf = (host: Host, device: string): number =>
  (JSON.parse(host.ip(`-j link show dev ${device}`)) as [{ mtu: number }])[0].mtu
