import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { SuiteName } from '#shared/tunnel/association.ts'
import { bundled } from '#test/bench/bundle.ts'
import type { EngineSpec } from '#test/bench/engine-child.ts'
import type { Host } from '#test/lab/namespaces.ts'
import { Program } from '#test/lab/program.ts'
import type { RelayBed } from './bed.ts'
import type { RelayContender, Tunnel } from './contender.ts'

const MTU = 1_420
const device = 'adit-e'
const port = 4_500
const [network, innerA, innerHop, innerB] = ['10.96.0.0/24', '10.96.0.1', '10.96.0.3', '10.96.0.2']

/**
 * Our engine three times, without broker and agents, since those keep devices apart whatever is configured: two ends with a TUN, and a hop that
 * opens what comes from the one and seals it for the other.
 */
export const aditRelay: RelayContender = { name: 'adit-relay', lacks, start: (bed, t) => start('noise', bed, t) }

/** The same in the esp suite, with AES-256-GCM. */
export const aditRelayEsp: RelayContender = { name: 'adit-relay-esp', lacks, start: (bed, t) => start('esp', bed, t) }

function lacks(): undefined {}

async function start(suite: SuiteName, { a, b, hop }: RelayBed, t: Pick<TestContext, 'after'>): Promise<Tunnel> {
  const program = await bundled(t, join(import.meta.dirname, '..', 'engine-child.ts'))
  const [keysA, keysHop, keysB] = [keys(), keys(), keys()]
  const engine = async (host: Host, spec: EngineSpec): Promise<number> => {
    const [prefix, ...words] = host.prefix
    const child = Program.command(prefix!, [...words, process.execPath, program, JSON.stringify(spec)])
    t.after(() => child.stop())
    await child.event(({ event }) => event === 'ready')
    return child.pid
  }
  const end = async (host: Host, own: Keys, inner: string, hopAt: string): Promise<number> => {
    const peers = [{ publicKey: keysHop.publicKey, endpoint: { address: hopAt, port }, routes: [network] }]
    const pid = await engine(host, {
      suite,
      laned: true,
      listen: { address: '0.0.0.0', port },
      ...own,
      tun: device,
      local: [inner],
      peers,
    })
    host.ip(`addr add ${inner}/24 dev ${device}`)
    host.ip(`link set ${device} mtu ${MTU} up`)
    return pid
  }
  const atHop = ({ publicKey }: Keys, inner: string) => ({ publicKey, endpoint: undefined, routes: [`${inner}/32`] })
  const middle = await engine(hop.host, {
    ...{ suite, laned: true, listen: { address: '0.0.0.0', port }, ...keysHop, tun: undefined, local: [innerHop] },
    peers: [atHop(keysA, innerA), atHop(keysB, innerB)],
  })
  const endA = await end(a, keysA, innerA, hop.towardsA)
  const endB = await end(b, keysB, innerB, hop.towardsB)
  return { innerA, innerB, deviceA: device, deviceB: device, processes: { a: [endA], hop: [middle], b: [endB] } }
}

type Keys = ReturnType<typeof keys>

function keys(): { publicKey: string; privateKey: string } {
  const { publicKey, privateKey } = nativeSuite.x25519.generate()
  return { publicKey: toHex(publicKey), privateKey: toHex(privateKey) }
}
