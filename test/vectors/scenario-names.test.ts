/**
 * The scenarios by which others judge tunnels through NATs, and key exchanges that cross, each by its name: which test of ours plays it,
 * or why none can. The lists are those of the vectors, so that a name that they gain is asked for here.
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

/** charon's exchange tests; ours have the name of the scenario behind the suite's. */
const playedIn = (file: string, ...names: readonly string[]): Record<string, Played> =>
  Object.fromEntries(names.map((name) => [name, [file, `'${name.split('/')[1]}`]]))
const absentFor = (notHere: string, ...names: readonly string[]): Record<string, Played> =>
  Object.fromEntries(names.map((name) => [name, { notHere }]))

const exchanges: Record<string, Played> = {
  ...playedIn(
    'shared/ikev2/child-collisions.test.ts',
    'child_create/collision_ike_rekey',
    'child_create/duplicate',
    'child_delete/collision_ike_rekey',
    'child_rekey/collision',
    'child_rekey/collision_delayed_request_more',
    'child_rekey/collision_delayed_request_more_delete',
    'child_rekey/collision_delayed_response_delete',
    'child_rekey/collision_delete',
    'child_rekey/collision_delete_delayed_response',
    'child_rekey/collision_delete_drop_rekey',
    'child_rekey/collision_ke_invalid_delayed_retry',
    'child_rekey/collision_responder_incorrect_delete',
    'child_rekey/regular',
    'child_rekey/regular_responder_delete',
    'child_rekey/regular_responder_handle_hard_expire',
    'child_rekey/regular_responder_ignore_soft_expire',
    'child_rekey/regular_responder_incorrect_delete',
    'child_rekey/regular_responder_lost_sa',
  ),
  ...playedIn(
    'shared/ikev2/ike-collisions.test.ts',
    'ike_delete/collision',
    'ike_rekey/collision',
    'ike_rekey/collision_delayed_request_and_delete',
    'ike_rekey/collision_delete',
    'ike_rekey/collision_ke_invalid',
    'ike_rekey/regular',
    'ike_rekey/regular_ke_invalid',
  ),
  ...absentFor(
    'additional key exchanges (RFC 9370) are not offered',
    'child_create/multi_ke',
    'child_rekey/collision_delayed_request_multi_ke',
    'child_rekey/collision_delete_multi_ke',
    'child_rekey/collision_mixed',
    'child_rekey/regular_ke_invalid_multi_ke',
    'child_rekey/regular_multi_ke',
    'ike_rekey/collision_delayed_request_multi_ke',
    'ike_rekey/collision_delete_multi_ke',
    'ike_rekey/regular_ke_invalid_multi_ke',
  ),
  ...absentFor(
    'message numbers are not synchronised between the members of a cluster (RFC 6311)',
    'ike_mid_sync/active',
    'ike_mid_sync/disabled',
    'ike_mid_sync/recv_update',
    'ike_mid_sync/replay',
    'ike_mid_sync/retransmit',
    'ike_mid_sync/sender_too_low',
  ),
  ...absentFor(
    'pools have no families to choose from: each peer has one address of each',
    'ike_cfg/get_address_family_empty',
    'ike_cfg/get_address_family_multi',
  ),
  'childless/regular': ['shared/ikev2/establishment.test.ts', 'childless: the IKE SA stands without one'],
  'childless/regular_manual': ['interop/ike-algorithms.test.ts', 'its Child SA later'],
  'childless/failure_resp': {
    notHere: 'our responder takes both; whoever begins childless asks for nothing in return (RFC 6023)',
  },
}

for (const [list, played] of [
  ['tailscale-natlab.tsv', natlab],
  ['wireguard-netns.tsv', wireguard],
  ['strongswan-exchange-tests.tsv', exchanges],
] as const)
  test(`every scenario of ${list} has a test, or a reason`, { skip: absent }, () => {
    const lines = readFileSync(join(folder, list), 'utf8').split('\n')
    const names = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split('\t')[0]!)
    assert.deepEqual(Object.keys(played).sort(), [...names].sort())
  })

test('each of those tests is there', () => {
  const gone = [natlab, wireguard, exchanges]
    .flatMap((played) => Object.entries(played))
    .filter(([, where]) => {
      if ('notHere' in where) return false
      const [file, words] = where
      return !existsSync(join(root, 'test', file)) || !readFileSync(join(root, 'test', file), 'utf8').includes(words)
    })
  assert.deepEqual(gone, [])
})
