import { WireguardGo, wireguardKeys } from '#test/lab/wireguard-go.ts'
import type { Contender, RelayContender } from './contender.ts'
import { lackingProgram } from './lacking.ts'

/** Debian's, or the one that WIREGUARD_GO names. */
const program = process.env.WIREGUARD_GO ?? 'wireguard-go'

const lacks = (): string | undefined => lackingProgram(program, 'wireguard-go') ?? lackingProgram('wg', 'wireguard-tools')

const port = 51820
const [innerA, innerHop, innerB] = ['10.98.0.1', '10.98.0.3', '10.98.0.2']

/** What all ratios are against. */
export const wireguardGo: Contender = {
  name: 'wireguard-go',
  lacks,
  async start({ a, b, outerA, outerB }, t) {
    const [keysA, keysB] = [wireguardKeys(), wireguardKeys()]
    const configA = [...ourselves(keysA, innerA), ...peer(keysB, `${innerB}/32`, `${outerB}:${port}`)]
    const configB = [...ourselves(keysB, innerB), ...peer(keysA, `${innerA}/32`, `${outerA}:${port}`)]
    const endA = await WireguardGo.start(t, { host: a, program, config: configA.join('\n') })
    const endB = await WireguardGo.start(t, { host: b, program, config: configB.join('\n') })
    const processes = { a: [endA.pid], hop: [], b: [endB.pid] }
    return { innerA, innerB, deviceA: endA.name, deviceB: endB.name, processes }
  },
}

/** As a relay: two peers, and the kernel forwards between them on the one interface. */
export const wireguardGoRelay: RelayContender = {
  name: 'wireguard-go-relay',
  lacks,
  async start({ a, b, outerA, outerB, hop }, t) {
    const [keysA, keysHop, keysB] = [wireguardKeys(), wireguardKeys(), wireguardKeys()]
    const all = '10.98.0.0/24'
    const configA = [...ourselves(keysA, innerA), ...peer(keysHop, all, `${hop.towardsA}:${port}`)]
    const configB = [...ourselves(keysB, innerB), ...peer(keysHop, all, `${hop.towardsB}:${port}`)]
    const configHop = [
      ...ourselves(keysHop, innerHop),
      ...peer(keysA, `${innerA}/32`, `${outerA}:${port}`),
      ...peer(keysB, `${innerB}/32`, `${outerB}:${port}`),
    ]
    hop.host.sysctl('net.ipv4.ip_forward=1', 'net.ipv4.conf.all.send_redirects=0', 'net.ipv4.conf.default.send_redirects=0')
    const endA = await WireguardGo.start(t, { host: a, program, config: configA.join('\n') })
    const middle = await WireguardGo.start(t, { host: hop.host, program, config: configHop.join('\n') })
    const endB = await WireguardGo.start(t, { host: b, program, config: configB.join('\n') })
    const processes = { a: [endA.pid], hop: [middle.pid], b: [endB.pid] }
    return { innerA, innerB, deviceA: endA.name, deviceB: endB.name, processes }
  },
}

type Keys = ReturnType<typeof wireguardKeys>

const ourselves = ({ privateKey }: Keys, address: string): string[] => [
  '[Interface]',
  `PrivateKey = ${privateKey}`,
  `ListenPort = ${port}`,
  `Address = ${address}/32`,
  'MTU = 1420',
]

const peer = ({ publicKey }: Keys, allowed: string, endpoint: string): string[] => [
  '[Peer]',
  `PublicKey = ${publicKey}`,
  `AllowedIPs = ${allowed}`,
  `Endpoint = ${endpoint}`,
]
