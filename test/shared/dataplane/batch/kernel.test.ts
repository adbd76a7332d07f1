import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomInt } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { PlainPacket } from '#shared/dataplane/batch/plain-packet.ts'
import { Run } from '#shared/dataplane/batch/run.ts'
import { Segmenter } from '#shared/dataplane/batch/segmenter.ts'
import { virtioNetHeader, writeWholePacket } from '#shared/dataplane/batch/virtio-net-header.ts'
import { IoVectors } from '#shared/platform/linux-engine/io-vectors.ts'
import { Libc } from '#shared/platform/linux-engine/libc.ts'
import { isRefusal } from '#shared/platform/linux-engine/native.ts'
import { TunDevice } from '#shared/platform/linux-engine/tun-device.ts'
import { Internet } from '#test/lab/namespaces.ts'
import { native, noNative } from '#test/shared/platform/linux-engine/native-here.ts'

/** Takes everything out of one TUN, cuts it, joins it again, and puts it into the other. */
class Wire {
  readonly #memory = native.memory(4 << 20)
  readonly #libc = new Libc(native)
  readonly #segmenter = new Segmenter(this.#memory)
  readonly #packet = new PlainPacket()
  readonly #run = new Run(this.#memory, { udp: true })
  readonly #vectors = new IoVectors(this.#memory, 65)
  readonly #readAt = this.#memory.allocate(66_000)
  readonly #spareAt = this.#memory.allocate(66_000)
  readonly #headerAt = this.#memory.allocate(256)
  readonly #packetsAt = this.#memory.allocate(3 << 20)
  readonly seen = { malformed: 0, packets: 0, joined: 0, refused: 0 }

  open(name: string): TunDevice | undefined {
    const device = TunDevice.open(this.#libc, this.#memory, { name })
    return isRefusal(device) ? undefined : device
  }

  /** Sixteen reads at most. Returns how many there were. */
  carry(from: TunDevice, to: TunDevice): number {
    const { bytes } = this.#memory
    let at = this.#packetsAt
    let begun = false
    let reads = 0
    for (; reads < 16; reads++) {
      const length = this.#libc.read(from.descriptor, this.#memory.address(this.#readAt, 65_600), 65_600)
      if (length <= 0) break
      if (this.#segmenter.begin(this.#readAt, length) < 0) this.seen.malformed++
      for (let size = this.#segmenter.next(this.#spareAt); size > 0; size = this.#segmenter.next(this.#spareAt)) {
        const { packetAt } = this.#segmenter
        this.seen.packets++
        bytes.copyWithin(at, packetAt, packetAt + size)
        // As padding and trailers do.
        bytes.fill(0xee, packetAt + size, packetAt + size + 16)
        const plain = this.#packet.read(this.#memory, at, size)
        if (!plain || !begun || !this.#run.append(this.#packet, at)) {
          if (begun) this.#write(to)
          begun = plain
          if (plain) this.#run.begin(this.#packet, at)
          else this.#writeAlone(to, at, size)
        }
        at += (size + 63) & ~1
      }
    }
    if (begun) this.#write(to)
    return reads
  }

  #write(to: TunDevice): void {
    const run = this.#run
    this.#vectors.set(0, this.#headerAt, run.finish(this.#headerAt))
    for (let i = 0; i < run.pieces; i++) this.#vectors.set(i + 1, run.pieceAt[i]!, run.pieceLength[i]!)
    if (run.pieces > 1) this.seen.joined += run.pieces
    if (this.#libc.writev(to.descriptor, this.#vectors.address, run.pieces + 1) < 0) this.seen.refused++
  }

  #writeAlone(to: TunDevice, at: number, size: number): void {
    writeWholePacket(this.#memory, this.#headerAt)
    this.#vectors.set(0, this.#headerAt, virtioNetHeader)
    this.#vectors.set(1, at, size)
    if (this.#libc.writev(to.descriptor, this.#vectors.address, 2) < 0) this.seen.refused++
  }
}

const length = 64 * 65_536
const datagrams = 40
/** The same pseudo-random megabytes at both ends. */
const content = `const content = createHash('shake256', { outputLength: ${length} }).update('adit').digest()`
/** Answers nothing but the hashes of what came: a stream, and datagrams of 1000 bytes in order. */
const receiver = `
  import { createHash } from 'node:crypto'; import { createServer } from 'node:net'; import { createSocket } from 'node:dgram'
  const socket = createSocket({ type: process.argv[1].includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
  const of = { stream: createHash('sha256'), datagrams: createHash('sha256') }
  let left = ${datagrams + 1}
  const done = () => --left === 0 &&
    (console.log(JSON.stringify([of.stream.digest('hex'), of.datagrams.digest('hex')])), process.exit())
  socket.on('message', (datagram) => { of.datagrams.update(datagram); done() })
  const server = createServer((from) => from.on('data', (data) => of.stream.update(data)).on('end', done))
  socket.bind(7000, process.argv[1], () => server.listen(7000, process.argv[1], () => console.error('ready')))`
const sender = `
  import { createHash } from 'node:crypto'; import { connect } from 'node:net'; import { createSocket } from 'node:dgram'
  ${content}
  const socket = createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4')
  socket.connect(7000, process.argv[1], () => {
    for (let i = 0; i < ${datagrams}; i++) socket.send(content.subarray(i * 1000, i * 1000 + 1000))
    connect(7000, process.argv[1]).end(content)
    socket.unref()
  })`

for (const [version, mtu, here, there] of [
  [4, 1400, '10.77.0.1', '10.77.0.2'],
  // An odd size, so that segments are copied.
  [6, 1401, 'fd77::1', 'fd77::2'],
] as const) {
  const name = `the kernel takes what was cut and joined between two TUNs, and both ends have the same bytes: IPv${version}`
  test(name, { skip: noNative || (process.getuid!() !== 0 && 'needs root'), timeout: 60_000 }, async (t) => {
    const internet = Internet.open(t)
    const wire = new Wire()
    const tuns: TunDevice[] = []
    const [a, b] = [here, there].map((address, i) => {
      const host = internet.host(`batch${i}`)
      const tun = wire.open(`batch${randomInt(1e6)}x${i}`)
      if (tun === undefined) return undefined
      t.after(() => tun.close())
      tuns.push(tun)
      execFileSync('ip', ['link', 'set', tun.name, 'netns', host.name])
      host.addAddress(`${address}/${version === 4 ? 24 : 64}`, tun.name)
      host.ip(`link set ${tun.name} up mtu ${mtu}`)
      return host
    })
    if (a === undefined || b === undefined) return t.skip('no TUN')
    const run = (prefix: readonly string[], script: string) => {
      const [program, ...words] = [...prefix, process.execPath, '--input-type=module', '-e', script, there]
      const child = spawn(program!, words, { stdio: ['ignore', 'pipe', 'pipe'] })
      t.after(() => child.kill('SIGKILL'))
      return child
    }
    const receiving = run(b.prefix, receiver)
    await new Promise((ready) => receiving.stderr.once('data', ready))
    run(a.prefix, sender)
    let heard: string | undefined
    text(receiving.stdout).then((said) => {
      heard = said
    })
    while (heard === undefined) {
      const reads = wire.carry(tuns[0]!, tuns[1]!) + wire.carry(tuns[1]!, tuns[0]!)
      await new Promise((next) => (reads > 0 ? setImmediate(next) : setTimeout(next, 1)))
    }
    const sent = createHash('shake256', { outputLength: length }).update('adit').digest()
    const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
    assert.deepEqual(JSON.parse(heard), [hash(sent), hash(sent.subarray(0, datagrams * 1000))])
    assert.deepEqual([wire.seen.malformed, wire.seen.refused], [0, 0])
    assert.ok(wire.seen.joined > wire.seen.packets / 2, JSON.stringify(wire.seen))
  })
}
