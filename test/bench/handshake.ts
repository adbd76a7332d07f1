import { compressOnVectors } from '#shared/crypto/native/blake2s.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { instant } from '#shared/time/instant.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { agreementCost, inAgreements } from './agreement.ts'
import { providers } from './providers.ts'
import type { BenchRow } from './row.ts'

export const name = 'handshake'

const peers = 200
const rounds = 16
/** Rounds in which the compiler is still at work; they are left out. */
const warmUp = 7
/** A second, on one core. */
const bar = 3_500
const from = { address: '192.0.2.1', port: 51820 }

/**
 * Initiations of 200 devices, made beforehand, answered by one endpoint: mac1, four agreements (one of them once a device), response,
 * session. CPU time of this process, so that a neighbour on the machine does not count; and, since a busy machine slows that too, each round
 * beside what an agreement costs then.
 */
export async function run(): Promise<BenchRow[]> {
  compressOnVectors()
  return (await providers()).map(measure)
}

function measure(suite: Suite): BenchRow {
  let answers = 0
  const serverKey = suite.x25519.generate()
  const server = new WireguardEndpoint({
    suite,
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
      suite,
      staticKey: suite.x25519.generate(),
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
  for (let round = 0; round < warmUp; round++) answer(round)
  const rates: number[] = []
  const agreements: number[] = []
  for (let round = warmUp; round < rounds; round++) {
    agreements.push(agreementCost(suite))
    const before = process.cpuUsage()
    answer(round)
    const { user, system } = process.cpuUsage(before)
    rates.push((peers * 1e6) / (user + system))
  }
  if (answers !== peers * rounds) throw new Error(`only ${answers} of ${peers * rounds} initiations were answered`)
  const value = median(rates)
  return {
    figure: `noise handshakes as responder, one core, ${suite.name} suite`,
    value,
    unit: '/s',
    bar: `>= ${bar.toLocaleString('en')}`,
    beside: inAgreements(value, median(agreements), bar),
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!
