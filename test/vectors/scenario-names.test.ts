/**
 * The scenarios by which others judge tunnels through NATs, each by its name: which test of ours plays it, or why none can. The lists
 * are those of the vectors, so that a name that they gain is asked for here.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const folder = join(process.env.ADIT_VECTORS ?? join(root, '../shared/vectors'), 'scenarios')
const absent = existsSync(folder) ? false : `there is no folder ${folder}; ADIT_VECTORS can name one`

/** A file below `test`, and what the name of its test contains; or why a scenario has no place here. */
type Played = readonly [file: string, test: string] | { readonly notHere: string }

const natlabFile = 'firmware-sim/internet/natlab.test.ts'
const named = (name: string): Played => [natlabFile, name]
const natlab: Record<string, Played> = {
  TestBPFDisco: named('TestBPFDisco'),
  TestEasy4AndJust6: named('TestEasy4AndJust6'),
  TestEasyEasy: named('TestEasyEasy'),
  TestFallbackDERPRegionForPeer: { notHere: 'there are no regions of relays: the way through the hub is always at hand' },
  TestGrid: named('TestGrid'),
  TestHostFWNoBPF: named('TestHostFWNoBPF'),
  TestHostFWPair: named('TestHostFWPair'),
  TestJustIPv6: named('TestJustIPv6'),
  TestNonTailscaleCGNATEndpoint: named('TestNonTailscaleCGNATEndpoint'),
  TestOneHostFW: named('TestOneHostFW'),
  TestPair: named('TestPair'),
  TestSameLAN: named('TestSameLAN'),
  TestSingleDualBrokenIPv4: named('TestSingleDualBrokenIPv4'),
  TestSingleJustIPv6: named('TestSingleJustIPv6'),
  TestTwoEasyNoControlDiscoRotate: named('TestTwoEasyNoControlDiscoRotate'),
}

const netns = 'firmware-sim/internet/wireguard-netns.test.ts'
const tunNetwork = 'interop/tun-network.test.ts'
const wireguard: Record<string, Played> = {
  'ping4/ping6 flood both ways': [netns, 'ping flood both ways'],
  'tcp4 tcp6 udp4 udp6 throughput': ['interop/tun.test.ts', 'MB each way at once between kernels'],
  counters: [netns, 'counters'],
  'outer-ipv4 / outer-ipv6': [netns, 'outer IPv4 and outer IPv6'],
  'big mtu': { notHere: 'no inner packet is longer than 1420 bytes (DESIGN §5)' },
  'padding vs route MTU': [netns, 'padding and route MTU'],
  'roaming v4': [netns, 'roaming v4 and v6'],
  'roaming v6 / family switch': [netns, 'a family switch too'],
  'crypto-RP filter': [netns, 'crypto-RP filter'],
  'change private key': ['agent/device/board-owner.test.ts', 'makes new keys when an operator gives leave'],
  'wg through wg': [netns, 'wg through wg'],
  'routing loop': [tunNetwork, 'P-31'],
  'NAT + persistent keepalive': [netns, 'NAT and persistent keepalive'],
  'bind to device / fwmark': [tunNetwork, 'the broker is reached outside whatever becomes of the main table'],
  'onion routing, even looped': [tunNetwork, 'P-31'],
  'policy-routing default route': [tunNetwork, 'all else goes into the tunnel or nowhere'],
  'ICMP unreachable through NAT': { notHere: 'a peer that is removed is silent, so that a stranger learns nothing (A-24)' },
  'source address sticky': [netns, 'source address sticky'],
  'reply from the address that was addressed': [netns, 'reply from the address that was addressed'],
  'address on another interface': ['interop/stun.test.ts', 'answers from the one that was asked'],
  'route preference change': ['interop/running-copy.test.ts', 'radio and family'],
  'IPC large config': { notHere: 'peers come out of the registry, not by a socket; `make bench FIGURE=fleet` has 10,000' },
  'null keys': { notHere: 'no command sets or clears a key: they are made at enrolment' },
  'key clamping': ['vectors/vectors.test.ts', 'P-14 third-party vectors'],
  'low-order points': ['shared/tunnel/attacks.test.ts', 'a low-order key: nothing leaves'],
  'namespace/teardown leaks': ['interop/tun-lifecycle.test.ts', 'SIGTERM takes everything away'],
}

for (const [list, played] of [
  ['tailscale-natlab.tsv', natlab],
  ['wireguard-netns.tsv', wireguard],
] as const)
  test(`every scenario of ${list} has a test, or a reason`, { skip: absent }, () => {
    const lines = readFileSync(join(folder, list), 'utf8').split('\n')
    const names = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split('\t')[0]!)
    assert.deepEqual(Object.keys(played).sort(), [...names].sort())
  })

test('each of those tests is there', () => {
  const gone = [...Object.entries(natlab), ...Object.entries(wireguard)].filter(([, where]) => {
    if ('notHere' in where) return false
    const [file, words] = where
    return !existsSync(join(root, 'test', file)) || !readFileSync(join(root, 'test', file), 'utf8').includes(words)
  })
  assert.deepEqual(gone, [])
})
