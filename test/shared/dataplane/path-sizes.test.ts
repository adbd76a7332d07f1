import assert from 'node:assert/strict'
import test from 'node:test'
import { InnerPacket } from '#shared/dataplane/inner-packet.ts'
import { clampMss } from '#shared/dataplane/mss-clamp.ts'
import { PathSizes } from '#shared/dataplane/path-sizes.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { foldChecksum, pseudoHeaderSum, sumWords, swap16 } from '#shared/wire/checksum.ts'
import { writeIpv4Header } from '#shared/wire/ipv4.ts'
import { writeIpv6Header } from '#shared/wire/ipv6.ts'
import { PACKET_TOO_BIG_LIMIT, writePacketTooBig } from '#shared/wire/packet-too-big.ts'

const ends = {
  4: [Uint8Array.of(100, 64, 0, 9), Uint8Array.of(100, 64, 0, 1)],
  6: [new Uint8Array(16).fill(9), new Uint8Array(16).fill(1)],
} as const

/** A SYN with these options, its checksum right. */
function syn(version: 4 | 6, options: readonly number[], flags = 2): InnerPacket {
  const [source, destination] = ends[version]
  const at = version === 4 ? 20 : 40
  const size = 20 + options.length
  const bytes = new Uint8Array(at + size)
  const view = new DataView(bytes.buffer)
  view.setUint32(at, 0x1234_0016)
  view.setUint8(at + 12, (size / 4) << 4)
  view.setUint8(at + 13, flags)
  bytes.set(options, at + 20)
  const pseudo = pseudoHeaderSum(source, destination, 6) + swap16(size)
  view.setUint16(at + 16, foldChecksum(sumWords(view, at, at + size, pseudo)), true)
  if (version === 4) writeIpv4Header(view, bytes, source, destination, 6, size, 64)
  else writeIpv6Header(view, bytes, source, destination, 6, size, 64)
  const packet = new InnerPacket()
  assert.equal(packet.read(bytes, bytes.length), 0)
  return packet
}

function isSound({ bytes, transportAt, length, version }: InnerPacket): boolean {
  const [source, destination] = ends[version]
  const pseudo = pseudoHeaderSum(source, destination, 6) + swap16(length - transportAt)
  return foldChecksum(sumWords(new DataView(bytes.buffer), transportAt, length, pseudo)) === 0
}

const mssAt = ({ bytes, transportAt }: InnerPacket, skip = 0): number =>
  new DataView(bytes.buffer).getUint16(transportAt + 22 + skip)

for (const version of [4, 6] as const)
  test(`P-25 the MSS of a SYN over IPv${version} is lowered to the path, and its checksum mended`, () => {
    for (let offered = 536; offered < 65_000; offered += 1_777) {
      const packet = syn(version, [2, 4, offered >> 8, offered & 255, 1, 3, 3, 7])
      clampMss(packet, 928)
      assert.equal(mssAt(packet), Math.min(offered, 928 - packet.transportAt - 20))
      assert.ok(isSound(packet), `${offered}`)
    }
  })

test('an option at an odd offset is mended too; what is no SYN, broken or small is left alone', () => {
  const odd = syn(6, [1, 2, 4, 1460 >> 8, 1460 & 255, 1, 1, 0])
  clampMss(odd, 1_000)
  assert.equal(mssAt(odd, 1), 940)
  assert.ok(isSound(odd))
  for (const packet of [
    syn(6, [2, 4, 5, 180], 0x10),
    syn(6, [2, 9, 5, 180]),
    syn(6, [0, 2, 4, 5]),
    syn(6, [3, 0, 5, 180]),
    syn(6, [2, 4, 1, 0]),
  ]) {
    const before = packet.bytes.slice()
    clampMss(packet, 1_000)
    assert.deepEqual(packet.bytes, before)
  }
})

test('a peer tells how large packets to it may be, and takes it back', () => {
  const peer = { id: 1 } as unknown as Association
  for (const version of [4, 6] as const) {
    const sizes = new PathSizes()
    assert.equal(sizes.of(peer), Number.POSITIVE_INFINITY)
    const say = (mtu: number): boolean => {
      const bytes = new Uint8Array(PACKET_TOO_BIG_LIMIT)
      const [source, destination] = ends[version]
      const length = writePacketTooBig(bytes, source, destination, mtu, syn(version, []).bytes)
      const packet = new InnerPacket()
      assert.equal(packet.read(bytes, length), 0)
      return sizes.hear(packet, peer)
    }
    assert.ok(say(928))
    assert.equal(sizes.of(peer), 928)
    assert.equal(sizes.of(undefined), Number.POSITIVE_INFINITY)
    say(60)
    assert.equal(sizes.of(peer), 400, 'no stranger to the network makes packets tiny')
    say(1_280)
    assert.equal(sizes.of(peer), Number.POSITIVE_INFINITY)
    say(928)
    sizes.forget(peer)
    assert.equal(sizes.of(peer), Number.POSITIVE_INFINITY)
    assert.ok(!sizes.hear(syn(version, []), peer))
  }
})
