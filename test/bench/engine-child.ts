import { fromHex } from '#shared/bytes/hex.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { FlowFilter, forever } from '#shared/dataplane/flow-filter.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { fastSuite } from '#shared/platform/fast-suite.ts'
import { openLane } from '#shared/platform/linux-engine/open-lane.ts'
import { silentLog } from '#shared/platform/log.ts'
import { PacketEngine } from '#shared/platform/packet-engine.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Association, Endpoint, EndpointPorts, SuiteName } from '#shared/tunnel/association.ts'
import type { DataLane } from '#shared/tunnel/data-lane.ts'
import type { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspPorts } from '#shared/tunnel/esp-options.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { callPeer, keyOf, type NamedEnd, presharedEsp } from './preshared-esp.ts'

/** What one engine is to be: given as JSON, the child's only argument. */
export interface EngineSpec {
  readonly suite: SuiteName
  /** False: the portable engine. */
  readonly laned: boolean
  readonly listen: Endpoint
  /** Of X25519, hex. In esp a name is made of it. */
  readonly publicKey: string
  readonly privateKey: string
  /** The TUN to make, to whom addresses are given by somebody else; undefined: none. */
  readonly tun: string | undefined
  /** Inner addresses of this host. */
  readonly local: readonly string[]
  readonly peers: readonly {
    readonly publicKey: string
    /** With one it is called at once. */
    readonly endpoint: Endpoint | undefined
    /** Inner prefixes. */
    readonly routes: readonly string[]
  }[]
}

/**
 * The engine alone (`engine-child.ts SPEC`): its peers are known beforehand, and everything may pass. Says `{"event":"ready","port":…}` and
 * runs until SIGTERM.
 */
const spec = JSON.parse(process.argv[2]!) as EngineSpec
const { listen, tun } = spec
const MTU = 1_420

const suite = await fastSuite(nativeSuite, silentLog)
const bind = { ...listen, neverFragment: true }
const options = { clock: systemClock, timers: systemTimers, log: silentLog, bind, tun }
const lane = spec.laned ? await openLane(options) : undefined
if (spec.laned && lane === undefined) throw new Error('this machine has no fast engine')
const staticKey = { publicKey: fromHex(spec.publicKey), privateKey: fromHex(spec.privateKey) }
let stamps = BigInt(Date.now())

/** The whole of the network in which ends of esp are. */
const NETWORK = '10.96.0.0/24'
const nameOf = (publicKey: string): string => `${publicKey.slice(0, 16)}.example`
const end: NamedEnd = {
  ...{ suite, name: nameOf(spec.publicKey), local: spec.local },
  peers: spec.peers.map(({ publicKey, ...peer }) => ({ ...peer, name: nameOf(publicKey) })),
}
const isEsp = spec.suite === 'esp'

const engine = await PacketEngine.open({
  clock: systemClock,
  timers: systemTimers,
  bind: listen,
  lane,
  stack: () => ({ owns: () => false }),
  noise: (ports, taker) => wireguard(ports, taker),
  ...(isEsp && { esp: (ports: EspPorts, taker: DataLane | undefined) => presharedEsp(end, NETWORK, ports, taker) }),
  filter: new FlowFilter({ permit: () => forever }, suite.random(4)[0]!),
  event: ({ kind, association }) => kind === 'established' && routeTo(association),
  ports: { deliver: () => undefined },
})

function wireguard(ports: EndpointPorts, taker: DataLane | undefined): WireguardEndpoint {
  return new WireguardEndpoint({ suite, staticKey, ports, nextTimestamp: () => tai64n(++stamps), innerMtu: MTU, lane: taker })
}

const { plane } = engine
plane.setLocal(spec.local)
if (isEsp) {
  const esp = plane.esp as EspEndpoint
  for (const peer of end.peers) if (peer.endpoint !== undefined) callPeer(esp, end, peer)
} else {
  const noise = plane.noise as WireguardEndpoint
  for (const { publicKey, endpoint } of spec.peers)
    noise.addPeer({ publicKey: fromHex(publicKey), endpoint, firstContact: endpoint !== undefined }, systemClock.now())
}
engine.kick()
process.stdout.write(`${JSON.stringify({ event: 'ready', port: engine.local.port })}\n`)

function routeTo(association: Association): void {
  const peer = spec.peers.find(({ publicKey }) => association.peerKey === (isEsp ? keyOf(nameOf(publicKey)) : publicKey))
  for (const prefix of peer?.routes ?? []) plane.routes.insert(prefix, association)
}

process.once('SIGTERM', async () => {
  await engine.close()
  process.exit()
})
