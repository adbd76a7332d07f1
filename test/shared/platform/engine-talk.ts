/** What members of a town say to each other. */
import assert from 'node:assert/strict'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import { ipPacket, udp } from '#test/shared/dataplane/packets.ts'
import { seeded } from '#test/shared/tunnel/virtual-link.ts'
import type { Town } from './engine-town.ts'
import type { Member } from './town-member.ts'
import { until } from './town-netstack.ts'

const pattern = (length: number, seed: number): Uint8Array => {
  const dice = seeded(seed)
  return Uint8Array.from({ length }, () => dice() * 256)
}

/** A UDP payload that says which it is. */
export const marked = (mark: number, length = 8): Uint8Array<ArrayBuffer> => {
  const payload = new Uint8Array(length)
  new DataView(payload.buffer).setUint32(0, mark)
  return payload
}

export const datagramTo = (from: Member, to: Member, mark: number, ttl = 64): Uint8Array =>
  ipPacket({ from: from.v4, to: to.v4, body: udp(4_000, 4_001, marked(mark)), ttl })

export const marksAt = (member: Member): number[] =>
  member.received
    .filter((packet) => packet[0] === 0x45 && packet[9] === 17)
    .map((packet) => new DataView(packet.buffer).getUint32(28))

/** Sends one after the other, each when the one before has come. */
export async function sendEach(from: Member, to: Member, marks: readonly number[]): Promise<void> {
  for (const mark of marks) {
    from.send(datagramTo(from, to, mark))
    await until(() => marksAt(to).includes(mark), `datagram ${mark} arrives`)
  }
}

/** Marks from here on are none of a test's own. */
export const SETTLING = 900_000

/** By the lane where there is one, from the packet on that follows. */
export async function settled(town: Town, from: Member, to: Member): Promise<void> {
  const first = SETTLING + 100 * from.number
  await sendEach(from, to, [first, first + 1, first + 2])
  const { lane } = town
  if (lane === undefined) return
  const before = lane.traffic.relayed
  await sendEach(from, to, [first + 3])
  assert.ok(lane.traffic.relayed > before, 'the lane relays')
}

/** A stream both ways through the hub, each side checked byte for byte. */
export async function streams(
  a: Member,
  b: Member,
  address: string,
  bytes: number,
  midway = (): void => undefined,
): Promise<void> {
  const [forth, back] = [pattern(bytes, 1), pattern(bytes, 2)]
  const atB = new Promise<TcpSocket>((resolve) => {
    const listener = b.netstack.listen({ port: 7, allowHalfOpen: true }, (socket) => {
      listener.close()
      resolve(socket)
    })
  })
  const client = a.netstack.connect({ address, port: 7, allowHalfOpen: true })
  const server = await atB
  const take = (socket: TcpSocket): Promise<Uint8Array> => {
    const parts: Buffer[] = []
    let total = 0
    return new Promise((resolve, reject) => {
      socket.on('error', reject)
      socket.on('end', () => resolve(Uint8Array.from(Buffer.concat(parts))))
      socket.on('data', (part: Buffer) => {
        parts.push(part)
        const before = total
        total += part.length
        if (before < bytes / 2 && total >= bytes / 2) midway()
      })
    })
  }
  const both = Promise.all([take(server), take(client)])
  client.end(forth)
  server.end(back)
  const [heardAtB, heardAtA] = await both
  assert.deepEqual(Buffer.compare(heardAtB, forth), 0)
  assert.deepEqual(Buffer.compare(heardAtA, back), 0)
}

/** Every pair of receiver and number on the way to `members` is there once. */
export function assertFresh(...members: Member[]): void {
  for (const { wire } of members) {
    const seen = new Set<string>()
    for (const datagram of wire.down) {
      const isNoise = datagram[0] === 4 && datagram.length >= 32
      if (!isNoise && datagram[0]! < 0x80) continue
      const name = Buffer.from(datagram.subarray(isNoise ? 4 : 0, isNoise ? 16 : 8)).toString('hex')
      assert.ok(!seen.has(name), `${name} twice`)
      seen.add(name)
    }
    assert.ok(seen.size > 100)
  }
}
