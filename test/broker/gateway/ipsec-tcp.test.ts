import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import type { DatagramStream } from '#shared/platform/datagram-stream.ts'
import { tcpStream } from '#shared/platform/tcp-stream.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { encodeTcpFrame, streamPrefix } from '#shared/wire/ike-tcp-frame.ts'
import { BrokerFixture, eventually } from '#test/broker/broker-fixture.ts'
import { enlistIpsec, IpsecPeer } from '#test/broker/ipsec-peer.ts'

/** IKE and ESP over TCP (RFC 9329): our initiator on a UDP port of its own, which a carrier leads into a TCP connection. */

let fixture: BrokerFixture
const carriers: TcpCarrier[] = []
const peers: IpsecPeer[] = []

before(async () => {
  fixture = await BrokerFixture.start({ streams: { limits: { provenWithin: 1_500 } } })
})
after(async () => {
  for (const peer of peers) await peer.stop()
  for (const carrier of carriers) await carrier.close()
  await fixture.end()
})

/** What a stock client does when UDP does not get through: the same datagrams in a stream that it has opened. */
class TcpCarrier {
  socket!: Socket
  closed = ''
  readonly #port: number
  #stream: DatagramStream | undefined
  #udp!: UdpSocket
  #client: Endpoint | undefined

  private constructor(port: number) {
    this.#port = port
  }

  static async open(port: number): Promise<TcpCarrier> {
    const carrier = new TcpCarrier(port)
    carriers.push(carrier)
    const onDatagram = (datagram: Uint8Array, from: Endpoint): void => {
      carrier.#client = from
      carrier.#stream?.send(datagram)
    }
    carrier.#udp = await UdpSocket.bind({ address: '127.0.0.1', port: 0, onDatagram })
    await carrier.connect()
    return carrier
  }

  get gateway(): Endpoint {
    return this.#udp.local
  }

  async connect(): Promise<void> {
    this.socket = connect(this.#port, '127.0.0.1')
    await once(this.socket, 'connect')
    this.#stream = tcpStream(this.socket, true, {
      datagram: (datagram) => this.#client && this.#udp.send(datagram, this.#client),
      alive() {},
      closed: (why) => {
        this.closed = why
      },
    })
  }

  async close(): Promise<void> {
    this.socket.destroy()
    await this.#udp.close()
  }
}

const tcpPort = (): number => Number(fixture.broker.ready.tcp!.split(':').at(-1))

test('a peer comes up over TCP at the port of the tunnels, is routed and seen; a connection that is cut is replaced', async () => {
  assert.equal(fixture.broker.ready.tcp, fixture.broker.ready.listen, 'the port of the tunnels, by default')
  const carrier = await TcpCarrier.open(tcpPort())
  const { principal, credential } = await enlistIpsec(fixture, 'pump')
  const peer = await IpsecPeer.dial(fixture, {
    credential,
    id: 'CN=pump',
    addresses: principal.addresses,
    gateway: carrier.gateway,
  })
  peers.push(peer)
  await peer.up()
  const inside = fixture.registry.fleet.broker[0]!
  assert.equal(await peer.reaches(inside), true)
  const { gateway } = fixture.broker
  const presence = gateway.presence(principal)
  assert.deepEqual([presence.state, presence.suite, presence.endpoint], ['up', 'esp', 'tcp from 127.0.0.1'])
  assert.equal(await gateway.probe(principal, 2_000), true)
  assert.equal(gateway.streams.counters.unproven, 0)
  const { handshakes } = gateway.counters()

  carrier.socket.resetAndDestroy()
  await eventually(() => gateway.streams.counters.open === 0)
  assert.equal(gateway.presence(principal).endpoint, 'tcp from 127.0.0.1')
  await carrier.connect()
  assert.equal(await peer.reaches(inside), true, 'the same SAs go on in the new connection (RFC 9329 §6.1)')
  assert.equal(await gateway.probe(principal, 2_000), true)
  assert.equal(gateway.counters().handshakes, handshakes)
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  assert.equal(gateway.streams.counters.open, 1, 'its data has proven the new connection')
})

test('A-55 A-60 strangers at the TCP port: another protocol, a false length, silence and babble cost a connection and nothing else', async () => {
  const { streams } = fixture.broker.gateway
  const meet = async (...chunks: readonly Uint8Array[]): Promise<number> => {
    const socket = connect(tcpPort(), '127.0.0.1')
    let answered = 0
    socket.on('data', (bytes) => {
      answered += bytes.length
    })
    socket.on('error', () => {})
    await once(socket, 'connect')
    for (const chunk of chunks) socket.write(chunk)
    await once(socket, 'close')
    return answered
  }
  const clientHello = Buffer.from('16030100c8010000c40303', 'hex')
  assert.equal(await meet(clientHello), 0)
  assert.equal(await meet(Buffer.from('GET / HTTP/1.1\r\n\r\n')), 0)
  assert.equal(await meet(streamPrefix, Buffer.of(0, 1)), 0)
  const before = streams.counters.unfounded
  const babble = Buffer.concat([Buffer.alloc(4), Buffer.alloc(28, 7)])
  const answered = await meet(streamPrefix, encodeTcpFrame(babble))
  assert.ok(answered <= babble.length, 'no answer is longer than the question (A-12)')
  assert.equal(streams.counters.unfounded, before + 1, 'closed for want of an authentic packet')
})
