import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { seen } from '#test/lab/seen.ts'
import { VerifiedStream } from '#test/lab/verified-stream.ts'
import { carries, interfaceUp, TunBed, type TunDevice, type TunDeviceStatus, tun } from './tun-bed.ts'

const config = '[tunnel]\nhost-to-agents = "all"\nagents-to-host = [5202]\n'
/** Bytes each way, after whatever has happened. */
const PIECE = 5_000_000

/** One TCP connection between two kernels, whose every byte is judged, while the roads below the tunnel change. */
describe('a stream from TUN to TUN outlives', () => {
  const endings: (() => unknown)[] = []
  const scope = { after: (ending: () => unknown) => void endings.push(ending) }
  let bed: TunBed
  let pump: TunDevice
  let broker: { v6: string; v4: string }
  let stream: VerifiedStream

  before(async () => {
    bed = await TunBed.open(scope, { config })
    pump = await bed.device(bed.pump, 'pump')
    broker = await bed.inner()
    await interfaceUp(bed.pump, pump)
    stream = await VerifiedStream.start(scope, { a: bed.pump, b: bed.hub }, broker.v6)
    await carries(stream, PIECE)
  })

  after(async () => {
    for (const ending of endings.reverse()) await ending()
  })

  const status = () => pump.device.status<TunDeviceStatus>()
  const goesOn = (): Promise<void> => carries(stream, PIECE)

  const drop = (table: string, ...what: readonly string[]): void =>
    bed.core.nft(`table inet ${table} {
      chain forward {
        type filter hook forward priority 0
        ${what.map((match) => `${match} drop`).join('\n')}
      }
    }
    `)
  const pass = (table: string): string => bed.core.run('nft', 'delete', 'table', 'inet', table)

  test('a NAT that forgets, and gives another port', async () => {
    const { core } = bed.wires.hub
    const masquerade = (ports: string): void =>
      bed.core.nft(`table ip nat {
        chain post {
          type nat hook postrouting priority srcnat
        }
      }
      flush chain ip nat post
      add rule ip nat post oifname "${core}" ip protocol udp masquerade to :${ports}
      `)
    for (const ports of ['20000-20999', '30000-30999']) {
      masquerade(ports)
      bed.core.run('conntrack', '-F')
      await goesOn()
    }
    bed.core.run('nft', 'delete', 'table', 'ip', 'nat')
    bed.core.run('conntrack', '-F')
    await goesOn()
  })

  test('another address of the machine', async () => {
    const { there } = bed.wires.pump
    const { handshakes } = (await status()).tunnel
    bed.pump.addAddress('192.168.11.77/24', there)
    bed.pump.ip(`addr del 192.168.11.2/24 dev ${there}`)
    bed.pump.ip('route replace default via 192.168.11.1')
    await goesOn()
    assert.ok((await status()).tunnel.handshakes - handshakes <= 4, 'no storm of handshakes')
  })

  test('UDP that is blocked: a WebSocket carries it; and the way back', { timeout: 240_000 }, async (t) => {
    drop('block', 'udp dport 4500', 'udp sport 4500')
    const by = (carrier: string, timeoutMs: number) =>
      seen(status, ({ tunnel }) => tunnel.carrier === carrier, {
        timeoutMs,
        otherwise: (last) => `not by ${carrier}: ${JSON.stringify(last.tunnel)}`,
      })
    const from = performance.now()
    await by('websocket', 60_000)
    const down = performance.now()
    await goesOn()
    pass('block')
    const open = performance.now()
    await by('udp', 90_000)
    t.diagnostic(`by WebSocket after ${(down - from) | 0} ms, by UDP again after ${(performance.now() - open) | 0} ms`)
    await goesOn()
  })

  test('a broker that is started again, and one that is killed', { timeout: 180_000 }, async () => {
    await bed.fleet.broker.stop()
    assert.doesNotMatch(bed.hub.ip('link'), new RegExp(`${tun}:`))
    await bed.fleet.startBroker()
    await goesOn()
    await bed.fleet.crashBroker()
    await goesOn()
  })

  /** Nobody is told of what is too long. Not a rule of nft's: that would judge a batch, which the wire only cuts later. */
  const narrow = (mtu: number): void => {
    for (const { core } of [bed.wires.pump, bed.wires.hub]) bed.core.ip(`link set mtu ${mtu} dev ${core}`)
  }

  test('a path that takes 1360 bytes, and says nothing of it', { timeout: 120_000 }, async () => {
    bed.core.nft(`table ip quiet {
      chain output {
        type filter hook output priority 0
        icmp type destination-unreachable drop
      }
    }
    `)
    narrow(1_360)
    await seen(status, ({ tunnel }) => (tunnel.mtu ?? 0) <= 1_360, {
      timeoutMs: 60_000,
      otherwise: ({ tunnel }) => `said to be ${tunnel.mtu}`,
    })
    await goesOn()
    narrow(1_500)
    await goesOn()
  })
})
