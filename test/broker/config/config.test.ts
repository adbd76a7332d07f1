import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'smol-toml'
import { configKeys, parseConfig, trySplitListen } from '#broker/config.ts'
import type { AditError } from '#shared/errors.ts'
import { formatProposal } from '#shared/ikev2/proposal.ts'

const example = readFileSync(join(import.meta.dirname, '../../../broker/adit-broker.example.toml'), 'utf8')

test('the example is the manual: it parses, has every key, and shows the defaults', () => {
  const flat = (value: object, prefix = ''): string[] =>
    Object.entries(value).flatMap(([key, inner]) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? flat(inner, `${prefix}${key}.`) : [prefix + key],
    )
  assert.deepEqual(flat(parse(example)).sort(), [...configKeys].sort())
  assert.deepEqual(parseConfig(example, 'example'), parseConfig('', 'empty'))
  for (const key of configKeys) {
    const at = example.split('\n').findIndex((line) => line.startsWith(`${key.split('.').at(-1)} =`))
    assert.match(example.split('\n')[at - 1] ?? '', /^#/, `${key} is explained above it`)
  }
})

const broken: readonly [text: string, message: RegExp][] = [
  ['listen = 4500', /^f\.toml:1: listen: /],
  ['\nlisten = "host:4500"', /^f\.toml:2: listen: write ADDR:PORT/],
  ['# c\n\n[tunnel]\nmtu = 9000', /^f\.toml:4: tunnel\.mtu: /],
  ['[tunnel]\nkeepalive = "25"', /^f\.toml:2: tunnel\.keepalive: write a span of time/],
  ['[tunnel]\nkeepalive = "1s"', /^f\.toml:2: tunnel\.keepalive: from 5s to 1h/],
  ['[tunnel]\ntun = "a name"', /^f\.toml:2: tunnel\.tun: write a name of 1 to 15/],
  ['[tunnel]\ntun = "abcdefghijklmnop"', /^f\.toml:2: tunnel\.tun: write a name/],
  ['[tunnel]\nengine = "fast"', /^f\.toml:2: tunnel\.engine: /],
  ['[tunnel]\nlanes = 17', /^f\.toml:2: tunnel\.lanes: /],
  ['[tunnel]\nhost-to-agents = "some"', /^f\.toml:2: tunnel\.host-to-agents: write "all" or a list of ports/],
  ['[tunnel]\n\nagents-to-host = [0]', /^f\.toml:3: tunnel\.agents-to-host: /],
  ['[log]\nlevel = "loud"', /^f\.toml:2: log\.level: /],
  ['listen = ":1"\nlissten = ":2"', /^f\.toml:2: there is no key lissten/],
  ['[telemetry]\nkeeep = "7d"', /^f\.toml:2: there is no key telemetry\.keeep/],
  ['public-endpoints = ["a b:1"]', /^f\.toml:1: public-endpoints: write HOST:PORT/],
  ['public-api = ["http://a:1"]', /^f\.toml:1: public-api: write https/],
  ['public-addresses = ["a.example"]', /^f\.toml:1: public-addresses: write literal/],
  ['a = 1\nb = \n', /^f\.toml:2: /],
  ['[stun]\nalternate = ["broker.example:4501"]', /^f\.toml:2: stun\.alternate: write ADDR:PORT/],
  ['[stun]\nalternate = ["192.0.2.1:0"]', /^f\.toml:2: stun\.alternate: write ADDR:PORT/],
  ['[ipsec]\nport500 = "500"', /^f\.toml:2: ipsec\.port500: write ADDR:PORT/],
  ['[enrolment]\nhook = "hook.sh"', /^f\.toml:2: enrolment\.hook: write the absolute path/],
  ['[enrolment]\nhook = "http://hook.example"', /^f\.toml:2: enrolment\.hook: write the absolute path/],
  ['[enrolment]\nretry-after = "1s"', /^f\.toml:2: enrolment\.retry-after: from 5s to 1h/],
  ['[ipsec]\nid = "a b"', /^f\.toml:2: ipsec\.id: write a host name/],
  ['[ipsec]\nike-proposals = []', /^f\.toml:2: ipsec\.ike-proposals: name one/],
  ['[ipsec]\nike-proposals = ["3des-sha1-modp1024"]', /^f\.toml:2: ipsec\.ike-proposals: .*3des is refused.*Write "/],
  ['[ipsec]\nenabled = true\nesp-proposals = ["aes256-x25519"]', /^f\.toml:3: ipsec\.esp-proposals: /],
]

test('a broken line gives one sentence with file and line, and a mend', () => {
  for (const [text, message] of broken) {
    assert.throws(
      () => parseConfig(text, 'f.toml'),
      (error: AditError) => {
        assert.equal(error.code, 'config-invalid')
        assert.match(error.message, message)
        assert.equal(error.message.includes('\n'), false)
        assert.match(error.mend, /example/)
        return true
      },
      text,
    )
  }
})

test('IPsec: proposals are read, in order; empty texts are no values', () => {
  const { ipsec } = parseConfig(
    '[ipsec]\nesp-proposals = ["aes256gmac-x25519", "aes256-sha256"]\nid = "VPN.example"\nport500 = ":500"',
    'f',
  )
  assert.deepEqual(ipsec.espProposals.map(formatProposal), ['aes256gmac-x25519', 'aes256-sha256'])
  assert.deepEqual([ipsec.id, ipsec.port500, ipsec.enabled], ['vpn.example', ':500', true])
  const standard = parseConfig('', 'f').ipsec
  assert.deepEqual([standard.id, standard.port500], [undefined, undefined])
  assert.equal(standard.ikeProposals.length, 2)
})

test("the kernel's part in the tunnels: nothing is open unless it is named", () => {
  const { engine, lanes, tun, hostToAgents, agentsToHost, innerMtu } = parseConfig('', 'f')
  assert.deepEqual(
    { engine, lanes, tun, hostToAgents, agentsToHost },
    { engine: 'auto', lanes: 1, tun: undefined, hostToAgents: [], agentsToHost: [] },
  )
  assert.equal(innerMtu, undefined, 'the TUN decides')
  const wide = parseConfig(
    '[tunnel]\ntun = "vpn0"\nengine = "linux"\nlanes = 3\nhost-to-agents = [22, 9100]\nagents-to-host = "all"',
    'f',
  )
  assert.deepEqual(
    [wide.tun, wide.engine, wide.lanes, wide.hostToAgents, wide.agentsToHost],
    ['vpn0', 'linux', 3, [22, 9_100], 'all'],
  )
})

test('listen texts', () => {
  assert.deepEqual(trySplitListen(':4500'), { port: 4500 })
  assert.deepEqual(trySplitListen('127.0.0.1:0'), { address: '127.0.0.1', port: 0 })
  assert.deepEqual(trySplitListen('[::1]:65535'), { address: '::1', port: 65_535 })
  for (const text of ['', '4500', '::1:4500', '1.2.3:4', 'a:1', ':65536', '[127.0.0.1:1', ':1x']) {
    assert.equal(trySplitListen(text), undefined, text)
  }
})
