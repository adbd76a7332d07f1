import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { instant } from '#shared/time/instant.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import type { BenchRow } from './row.ts'

export const name = 'handshake'

const peers = 200
const rounds = 12
const from = { address: '192.0.2.1', port: 51820 }

/**
 * Initiations of 200 devices, made beforehand, answered by one endpoint: mac1, four agreements (one of them once a device), response,
 * session. CPU time of this process, so that a neighbour on the machine does not count.
 */
export async function run(): Promise<BenchRow[]> {
  let answers = 0
  const serverKey = nativeSuite.x25519.generate()
  const server = new WireguardEndpoint({
    suite: nativeSuite,
    staticKey: serverKey,
    nextTimestamp: () => tai64n(0n),
    admit: () => ({}),
    underLoad: () => false,
    ports: { transmit: () => answers++, event: () => {} },
  })
  const initiations = Array.from({ length: rounds }, () => [] as Uint8Array[])
  for (let i = 0; i < peers; i++) {
    let round = 0
    const device = new WireguardEndpoint({
      suite: nativeSuite,
      staticKey: nativeSuite.x25519.generate(),
      nextTimestamp: () => tai64n(BigInt(round + 1) * 1_000_000_000n),
      ports: { transmit: (datagram) => initiations[round]!.push(datagram.slice()), event: () => {} },
    })
    const hub = device.addPeer({ publicKey: serverKey.publicKey, endpoint: from }, instant(0))
    for (round = 0; round < rounds; round++) {
      device.initiate(hub, instant(round * 1000))
      hub.reset()
    }
  }
  const answer = (round: number): void => {
    for (const initiation of initiations[round]!) server.handleControl(initiation, from, instant(1_000_000 + round * 1000))
  }
  const warmUp = 3
  for (let round = 0; round < warmUp; round++) answer(round)
  const rates: number[] = []
  for (let round = warmUp; round < rounds; round++) {
    const before = process.cpuUsage()
    answer(round)
    const { user, system } = process.cpuUsage(before)
    rates.push((peers * 1e6) / (user + system))
  }
  if (answers !== peers * rounds) throw new Error(`only ${answers} of ${peers * rounds} initiations were answered`)
  rates.sort((a, b) => a - b)
  const median = rates[rates.length >> 1]!
  const beside = `one X25519 agreement in the same run: ${agreement(serverKey).toFixed(0)} us`
  return [{ figure: 'noise handshakes as responder, one core, native suite', value: median, unit: '/s', bar: '>= 3,500', beside }]
}

/** Microseconds of CPU: a handshake is mostly four of these, so a busy machine shows here too. */
function agreement(own: KeyPair): number {
  const other = nativeSuite.x25519.generate().publicKey
  const times = 2000
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) nativeSuite.x25519.shared(own, other)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / times
}
