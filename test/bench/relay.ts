import { nativeSuite } from '#shared/crypto/native.ts'
import { forever } from '#shared/dataplane/flow-filter.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { BenchRow } from '#test/bench/row.ts'
import { type Client, Hub } from '#test/shared/dataplane/hub.ts'
import { ipPacket, udp } from '#test/shared/dataplane/packets.ts'

export const name = 'relay'

/** An inner packet of the inner MTU, and a small one. Bytes. */
const sizes = [1_280, 100]
const packets = 20_000

/** What one relayed packet costs the broker's process: the road without sockets, then the socket's own share. */
export async function run(): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  for (const size of sizes) rows.push(...roads(size))
  rows.push(await sending(sizes[0]!))
  return rows
}

function roads(size: number): BenchRow[] {
  const hub = new Hub({ permit: () => forever })
  const ann = hub.join('100.64.0.2')
  const pi = hub.join('100.64.0.3')
  const prepared = sealedPackets(ann, pi, size, packets)
  // The client's own work is not the broker's: from here the hub's datagrams go nowhere.
  hub.clients.length = 0
  let sent = 0
  hub.plane.ports.transmit = () => {
    sent++
    return true
  }
  const micros = timed(prepared, (datagram) => hub.arrive(datagram, ann.at))
  if (sent !== packets) throw new Error(`${sent} of ${packets} packets were relayed`)
  const aead = sealAndOpen(size)
  return [
    {
      figure: `relay of ${size} B between two associations, without sockets`,
      value: 1e6 / micros,
      unit: 'packets/s',
      beside: `${micros.toFixed(1)} us each, of which open and seal ${aead.toFixed(1)} us`,
    },
  ]
}

function sealedPackets(from: Client, to: Client, size: number, count: number): Uint8Array[] {
  const packet = ipPacket({ from: from.address, to: to.address, body: udp(9, 22, new Uint8Array(size - 28)) })
  return Array.from({ length: count }, () => from.seal(packet))
}

/** Microseconds of one item, the best fifth of the run. */
function timed<T>(items: readonly T[], work: (item: T) => void): number {
  const fifth = Math.floor(items.length / 5)
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const start = process.hrtime.bigint()
    for (const item of items.slice(round * fifth, (round + 1) * fifth)) work(item)
    best = Math.min(best, Number(process.hrtime.bigint() - start) / fifth / 1_000)
  }
  return best
}

function sealAndOpen(size: number): number {
  const key = nativeSuite.chacha20poly1305.key(nativeSuite.random(32))
  const nonce = new Uint8Array(12)
  const plain = new Uint8Array(size)
  const sealed = new Uint8Array(size + 16)
  const opened = new Uint8Array(size + 16)
  return timed(new Array(10_000).fill(0), () => {
    key.seal(nonce, undefined, plain, sealed)
    key.open(nonce, undefined, sealed, opened)
  })
}

/** One send and one receipt over loopback by UdpSocket, in one process. */
async function sending(size: number): Promise<BenchRow> {
  let received = 0
  const sink = await UdpSocket.bind({ address: '127.0.0.1', port: 0, onDatagram: () => received++ })
  const source = await UdpSocket.bind({ address: '127.0.0.1', port: 0, onDatagram: () => undefined })
  const datagram = new Uint8Array(size + 32)
  const to = sink.local
  const start = systemClock.now()
  // Bursts that the receive buffer holds, then a turn of the event loop to take them in.
  for (let sent = 0; sent < packets; sent += 32) {
    for (let i = 0; i < 32; i++) source.send(datagram, to)
    await new Promise((resolve) => setImmediate(resolve))
  }
  const micros = ((systemClock.now() - start) * 1_000) / packets
  await Promise.all([sink.close(), source.close()])
  return {
    figure: `UDP socket: ${size + 32} B sent and received over loopback`,
    value: micros,
    unit: 'us',
    beside: `${received} of ${packets} arrived`,
  }
}
