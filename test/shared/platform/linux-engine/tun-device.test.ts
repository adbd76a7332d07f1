import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { virtioNetHeader } from '#shared/dataplane/batch/virtio-net-header.ts'
import { abis } from '#shared/platform/linux-engine/abi.ts'
import { Errno, Libc, POLLIN } from '#shared/platform/linux-engine/libc.ts'
import { NativeMemory } from '#shared/platform/linux-engine/memory.ts'
import { isRefusal } from '#shared/platform/linux-engine/native.ts'
import { TunDevice } from '#shared/platform/linux-engine/tun-device.ts'
import { until } from '../town-netstack.ts'
import { native, noNative } from './native-here.ts'

const memory = new NativeMemory(65_536, abis.x64!, () => 0)

/** A kernel in which open and the ioctls end so: 0 or an error; of TUNSETOFFLOAD, by its flags. */
function kernel({ open = 0, make = 0, offload = (_flags: number) => 0 }): { libc: Libc; closed: number[] } {
  let errno = 0
  const closed: number[] = []
  const end = (error: number, good: number) => {
    errno = error
    return error === 0 ? good : -1
  }
  const libc = {
    open: () => end(open, 7),
    ioctl: (_descriptor: number, request: number, argument: number) => {
      if (request === 0x4004_54ca) return end(make, 0)
      return request === 0x4004_54d0 ? end(offload(argument), 0) : 0
    },
    close: (descriptor: number) => closed.push(descriptor),
    errno: () => errno,
  }
  return { libc: libc as unknown as Libc, closed }
}

test('what stands in the way is told with a mend, and nothing stays open', () => {
  for (const [options, code, words] of [
    [{ open: Errno.ENOENT }, 'no-tun', /modprobe tun/],
    [{ open: Errno.ENODEV }, 'no-tun', /modprobe tun/],
    [{ open: Errno.EACCES }, 'no-permission', /CAP_NET_ADMIN/],
    [{ make: Errno.EPERM }, 'no-permission', /root/],
    [{ make: Errno.EBUSY }, 'no-tun', /another name/],
    [{ make: Errno.EINVAL }, 'no-tun', /another name/],
  ] as const) {
    const { libc, closed } = kernel(options)
    const result = TunDevice.open(libc, memory, { name: 'adit0' })
    assert.ok(isRefusal(result))
    assert.equal(result.code, code)
    assert.match(result.mend, words)
    assert.deepEqual(closed, 'make' in options ? [7] : [])
  }
})

test('a name that no interface can have never reaches the kernel', () => {
  for (const name of ['', 'sixteen-letters!', 'a/b', 'ä'.repeat(8)]) {
    const result = TunDevice.open(kernel({}).libc, memory, { name })
    assert.ok(isRefusal(result) && result.code === 'no-tun', name)
  }
})

test('a kernel that lacks an offload is asked for fewer', () => {
  const offloadsOf = (offload: (flags: number) => number, wanted = true) => {
    const device = TunDevice.open(kernel({ offload }).libc, memory, { name: 'adit0', offload: wanted })
    assert.ok(!isRefusal(device))
    return device.offloads
  }
  const none = { checksum: false, tcp: false, udp: false }
  const refusing = (bits: number) => (flags: number) => ((flags & bits) !== 0 ? Errno.EINVAL : 0)
  assert.deepEqual(offloadsOf(refusing(0)), { checksum: true, tcp: true, udp: true })
  assert.deepEqual(offloadsOf(refusing(0x60)), { checksum: true, tcp: true, udp: false })
  assert.deepEqual(offloadsOf(refusing(0x66)), { checksum: true, tcp: false, udp: false })
  assert.deepEqual(offloadsOf(refusing(0x67)), none)
  assert.deepEqual(offloadsOf(refusing(0), false), none)
})

test('packets of the kernel come and go behind a virtio header', { skip: noNative }, async (t) => {
  const libc = new Libc(native)
  const memory = native.memory(65_536)
  const device = TunDevice.open(libc, memory, { name: 'adittest%d' })
  if (isRefusal(device)) return t.skip(device.message)
  assert.match(device.name, /^adittest\d+$/)
  // Of the network for benchmarks (RFC 2544), which no machine is on.
  const net = `198.${18 + randomInt(2)}.${randomInt(256)}`
  execFileSync('ip', ['addr', 'add', `${net}.1/30`, 'dev', device.name])
  execFileSync('ip', ['link', 'set', device.name, 'up'])
  const taken = TunDevice.open(libc, memory, { name: device.name })
  assert.ok(isRefusal(taken) && /in use/.test(taken.message))

  const socket = createSocket('udp4')
  t.after(() => socket.close())
  await new Promise<void>((done) => socket.bind(0, `${net}.1`, done))
  socket.send('question', 9, `${net}.2`)
  const { pollfd } = memory.abi
  const poll = memory.allocate(pollfd.size)
  memory.words[(poll + pollfd.descriptor) >> 2] = device.descriptor
  memory.halves[(poll + pollfd.events) >> 1] = POLLIN
  const at = memory.allocate(2_048)
  const ip = at + virtioNetHeader
  let length = 0
  // The kernel's own IPv6 messages may come first.
  do {
    await new Promise((done) => setImmediate(done))
    assert.equal(libc.poll(memory.address(poll, pollfd.size), 1, 5_000), 1)
    length = libc.read(device.descriptor, memory.address(at, 2_048), 2_048)
  } while (memory.bytes[ip]! >> 4 !== 4 || memory.bytes[ip + 9] !== 17)
  assert.equal(length, virtioNetHeader + 20 + 8 + 'question'.length)

  // The same packet back, with both ends swapped: its sums stay what they are; the UDP one is left out.
  const { bytes, view } = memory
  const copy = bytes.slice(at, at + length)
  bytes.fill(0, at, ip)
  bytes.copyWithin(ip + 12, ip + 16, ip + 20)
  bytes.set(copy.subarray(virtioNetHeader + 12, virtioNetHeader + 16), ip + 16)
  view.setUint16(ip + 22, view.getUint16(ip + 20))
  view.setUint16(ip + 20, 9)
  view.setUint16(ip + 26, 0)
  const answered = new Promise<string>((done) => socket.once('message', (datagram) => done(String(datagram))))
  assert.equal(libc.write(device.descriptor, memory.address(at, length), length), length)
  assert.equal(await answered, 'question')

  device.close()
  assert.equal(existsSync(`/sys/class/net/${device.name}`), false)
})

test('several queues are one interface; with one queue nobody joins it, and it goes with the last', {
  skip: noNative,
}, async (t) => {
  const libc = new Libc(native)
  const memory = native.memory(65_536)
  const device = TunDevice.open(libc, memory, { name: 'adittest%d', queues: 3 })
  if (isRefusal(device)) return t.skip(device.message)
  assert.equal(new Set(device.descriptors).size, 3)
  assert.equal(device.descriptor, device.descriptors[0])
  assert.ok(existsSync(`/sys/class/net/${device.name}/queues/tx-2`))
  const single = TunDevice.open(libc, memory, { name: device.name })
  assert.ok(isRefusal(single) && /one queue where several are wanted/.test(single.mend), JSON.stringify(single))
  const net = `198.${18 + randomInt(2)}.${randomInt(256)}`
  execFileSync('ip', ['addr', 'add', `${net}.1/30`, 'dev', device.name])
  execFileSync('ip', ['link', 'set', device.name, 'up'])
  const socket = createSocket('udp4')
  t.after(() => socket.close())
  await new Promise<void>((done) => socket.bind(0, `${net}.1`, done))
  const ports = new Set(Array.from({ length: 64 }, (_, i) => 9_000 + i))
  for (const port of ports) socket.send('question', port, `${net}.2`)
  const at = memory.allocate(2_048)
  const ip = at + virtioNetHeader
  const met = new Set<number>()
  await until(() => {
    for (const descriptor of device.descriptors)
      while (libc.read(descriptor, memory.address(at, 2_048), 2_048) > 0)
        if (memory.bytes[ip]! >> 4 === 4 && ports.delete(memory.view.getUint16(ip + 22))) met.add(descriptor)
    return ports.size === 0
  }, 'every flow comes by one of the queues')
  assert.ok(met.size > 1, 'flows are spread')
  device.close()
  assert.equal(existsSync(`/sys/class/net/${device.name}`), false)
})

test('a queue that cannot be had closes the others', () => {
  const { libc, closed } = kernel({})
  let opened = 0
  const poor = Object.assign(libc, {
    open: () => {
      opened++
      return opened > 2 ? -1 : 10 + opened
    },
    errno: () => Errno.EPERM,
  })
  const refusal = TunDevice.open(poor, memory, { name: 'adit0', queues: 3 })
  assert.ok(isRefusal(refusal) && refusal.code === 'no-permission')
  assert.deepEqual(closed, [11, 12])
})
