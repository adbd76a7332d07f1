import { setTimeout as wait } from 'node:timers/promises'
import { Libc, POLLIN } from '#shared/platform/linux-engine/libc.ts'
import type { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import { isRefusal, loadNative } from '#shared/platform/linux-engine/native.ts'
import { SOCKET_ADDRESS_ROOM, writeSocketAddress } from '#shared/platform/linux-engine/socket-address.ts'
import { SocketMessage } from '#shared/platform/linux-engine/socket-message.ts'
import { UdpPort } from '#shared/platform/linux-engine/udp-port.ts'
import { UdpReceiver } from '#shared/platform/linux-engine/udp-receiver.ts'

/**
 * Equal datagrams in batches, as an end-to-end tunnel sends and takes them: the kernel cuts and joins them (UDP_SEGMENT, UDP_GRO), which
 * iperf3 leaves to one system call each. Both say one line of JSON in the end:
 *
 *   datagrams-child.ts receive ADDRESS PORT                          {"received":…,"seconds":…}, after a second of silence
 *   datagrams-child.ts send ADDRESS PORT BYTES PER-SECOND SECONDS    {"sent":…}; PER-SECOND 0: as many as it can
 */
const [role, address, port, ...numbers] = process.argv.slice(2)
const to = { address: address!, port: Number(port) }
/** Datagrams of one batch: the kernel takes 64, and 64 KB. */
const BATCH = 45
/** Between two looks at the clock, ms. */
const PACE = 0.25
const SILENCE = 1_000
/** Before the first one, ms. */
const PATIENCE = 10_000

const native = await loadNative()
if (isRefusal(native)) throw new Error(native.message)
const memory = native.memory(2 << 20)
const libc = new Libc(native)
if (role === 'receive') await receive(memory)
else send(memory, numbers.map(Number) as [number, number, number])

async function receive(room: NativeMemory): Promise<void> {
  const socket = UdpPort.bind(libc, room, to)
  const receiver = new UdpReceiver(room, libc)
  const { pollfd } = room.abi
  const at = room.allocate(pollfd.size)
  room.view.setInt32(at + pollfd.descriptor, socket.descriptors.v4, true)
  room.view.setInt16(at + pollfd.events, POLLIN, true)
  say({ event: 'ready' })
  // What was said leaves before this thread waits in poll(2).
  await wait(20)
  let received = 0
  let [first, last] = [0, performance.now()]
  const take = (): void => void received++
  while (performance.now() - last < (received === 0 ? PATIENCE : SILENCE)) {
    if (libc.poll(room.address(at, pollfd.size), 1, 200) <= 0) continue
    while (receiver.receive(socket.descriptors.v4, take) > 0);
    last = performance.now()
    first ||= last
  }
  say({ received, seconds: (last - first) / 1_000 })
}

function send(room: NativeMemory, [bytes, perSecond, seconds]: [number, number, number]): void {
  const socket = UdpPort.bind(libc, room, { address: '0.0.0.0', port: 0 })
  const message = new SocketMessage(room)
  const name = room.allocate(SOCKET_ADDRESS_ROOM)
  const destination = room.bytes.slice(name, name + writeSocketAddress(room, name, to))
  message.set(destination, room.allocate(BATCH * bytes), BATCH * bytes, bytes)
  const pause = new Int32Array(new SharedArrayBuffer(4))
  const began = performance.now()
  let sent = 0
  for (let now = began; now - began < seconds * 1_000; now = performance.now()) {
    const due = perSecond === 0 ? sent + BATCH : ((now - began) / 1_000) * perSecond
    if (due < sent + BATCH) Atomics.wait(pause, 0, 0, PACE)
    else if (libc.sendmsg(socket.descriptors.v4, message.address, 0) > 0) sent += BATCH
    else message.awaitRoom(libc, socket.descriptors.v4, 5)
  }
  say({ sent })
  socket.close()
}

function say(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}
