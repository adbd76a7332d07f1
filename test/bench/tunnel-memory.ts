import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { nativeSuite } from '#shared/crypto/native.ts'
import { instant } from '#shared/time/instant.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { classify } from '#shared/wire/demux.ts'
import type { BenchRow } from './row.ts'

export const name = 'tunnel-memory'

const peers = 2000
const hubAt = { address: '192.0.2.1', port: 4500 }

/** A hub with 2,000 established, idle associations: heap and buffers for each, session keys, windows and timers included. */
export async function run(): Promise<BenchRow[]> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const used = (): number => {
    collect()
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  let toDevice: Uint8Array[] = []
  const hubKey = nativeSuite.x25519.generate()
  const hub = new WireguardEndpoint({
    suite: nativeSuite,
    staticKey: hubKey,
    nextTimestamp: () => tai64n(0n),
    admit: () => ({}),
    underLoad: () => false,
    ports: { transmit: (datagram) => toDevice.push(datagram.slice()), event: () => {} },
  })
  const out = new Uint8Array(2048)
  const connect = (i: number): void => {
    const at = { address: `10.${i >> 8}.${i & 255}.1`, port: 40000 + i }
    toDevice = []
    const device = new WireguardEndpoint({
      suite: nativeSuite,
      staticKey: nativeSuite.x25519.generate(),
      nextTimestamp: () => tai64n(1n),
      ports: {
        transmit: (datagram) => {
          if (classify(datagram) === 'wireguard-data') hub.open(datagram, at, out, instant(i))
          else hub.handleControl(datagram, at, instant(i))
        },
        event: () => {},
      },
    })
    device.initiate(device.addPeer({ publicKey: hubKey.publicKey, endpoint: hubAt }, instant(i)), instant(i))
    for (const datagram of toDevice) device.handleControl(datagram, hubAt, instant(i))
  }
  for (let i = 0; i < 100; i++) connect(i)
  const before = used()
  for (let i = 100; i < 100 + peers; i++) connect(i)
  const each = (used() - before) / peers
  const up = [...hub.associations()].filter(({ state }) => state === 'established').length
  if (up !== peers + 100) throw new Error(`only ${up} associations are up`)
  return [{ figure: 'memory of an idle association at the hub', value: each / 1024, unit: 'KB', bar: '<= 4' }]
}
