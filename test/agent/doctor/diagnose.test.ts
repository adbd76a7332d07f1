import assert from 'node:assert/strict'
import test from 'node:test'
import { endpointHosts } from '#agent/doctor/broker-place.ts'
import { diagnose } from '#agent/doctor/diagnose.ts'
import type { DoorFact, Facts, UdpFact } from '#agent/doctor/facts.ts'
import { describe, summaryOf } from '#agent/doctor/report.ts'
import { isAditError } from '#shared/errors.ts'
import { wallTime } from '#shared/time/instant.ts'

const wall = wallTime(Date.UTC(2026, 5, 1))
const days = (n: number): number => n * 86_400_000
const host = 'broker.example'
const address = '198.51.100.2'
const udp: UdpFact = {
  endpoint: { address, port: 4500 },
  sent: 10,
  answered: 10,
  refused: false,
  unreachable: false,
  roundTripMs: 12,
  sizes: [1280, 1360, 1500].map((bytes) => ({ bytes, answered: true })),
}
const api: DoorFact = {
  host,
  endpoint: { address, port: 8443 },
  reached: 'open',
  tls: { kind: 'proven' },
  status: 200,
  date: wall,
}
const silent = (door: DoorFact): DoorFact => ({ host: door.host, endpoint: door.endpoint, reached: 'silent' })
const well: Facts = {
  clock: { wall, floor: wallTime(wall - days(10)) },
  interfaces: [{ name: 'eth0', up: true, addresses: ['192.168.7.2'] }],
  routes: { ipv4: true, ipv6: false, gateway: { address: '192.168.7.1', answers: true } },
  names: [{ host, outcome: 'answered', tookMs: 8, addresses: [address], known: [address] }],
  udp: [udp],
  api: [api],
  certificate: { notBefore: wallTime(wall - days(5)), notAfter: wallTime(wall + days(60)) },
  admission: { kind: 'admitted' },
  agent: { kind: 'running', tunnel: 'up', sinceSeconds: 60, suite: 'noise', carrier: 'udp', endpoint: `${address}:4500` },
  services: [{ name: 'ssh', target: { address: '127.0.0.1', port: 22 }, reached: 'open' }],
}

test('D15 what is well has no mend and no complaint', () => {
  const { verdict, findings } = diagnose(well)
  assert.equal(verdict, 'ok')
  assert.ok(findings.length >= 8)
  for (const { state, mend, text } of findings) assert.deepEqual([state, mend, /[.!]$/.test(text)], ['ok', '', true], text)
})

test('D15 nothing is concluded from what was not seen', () => {
  assert.deepEqual(diagnose({}), { verdict: 'unclear', findings: [] })
  for (const field of Object.keys(well) as (keyof Facts)[]) {
    const { [field]: _, ...rest } = well
    assert.equal(diagnose(rest).verdict, 'ok', `without ${field}`)
  }
})

test('a machine without a network, whose broker is on it, is well', () => {
  for (const up of [true, false]) {
    const alone: Facts = { ...well, interfaces: [{ name: 'eth0', up, addresses: [] }], routes: { ipv4: false, ipv6: false } }
    const { verdict, findings } = diagnose(alone)
    assert.deepEqual([verdict, findings.filter(({ state }) => state === 'broken')], ['ok', []])
  }
})

test('D15 one cause, one broken line, and it comes first', () => {
  const { agent: _, ...noAgent } = well
  const nothing: Facts = { ...noAgent, udp: [{ ...udp, answered: 0, sizes: [] }], api: [silent(api)] }
  const cases: [string, Facts, string][] = [
    [
      'no link',
      { ...nothing, interfaces: [{ name: 'eth0', up: false, addresses: [] }], routes: { ipv4: false, ipv6: false } },
      'no-interface',
    ],
    ['no route', { ...nothing, routes: { ipv4: false, ipv6: false } }, 'no-route'],
    ['host down', nothing, 'broker-silent'],
    [
      'expired long ago',
      { ...noAgent, certificate: { notBefore: wall, notAfter: wallTime(wall - days(500)) } },
      'certificate-expired',
    ],
    ['revoked', { ...noAgent, admission: { kind: 'refused', code: 'certificate-refused', text: 'No.' } }, 'certificate-refused'],
    ['sshd', { ...well, services: [{ name: 'ssh', target: { address: '::1', port: 22 }, reached: 'refused' }] }, 'service-down'],
  ]
  for (const [what, facts, code] of cases) {
    const { verdict, findings } = diagnose(facts)
    assert.equal(verdict, code, what)
    assert.deepEqual(
      findings.filter(({ state }) => state === 'broken').map((finding) => finding.code),
      [code],
      what,
    )
    assert.notEqual(findings[0]!.mend, '')
  }
})

test('a proxy that wants another password is the one broken line, whichever status it says it by', () => {
  const { agent: _, ...noAgent } = well
  const shut: Facts = { ...noAgent, udp: [{ ...udp, answered: 0, sizes: [] }], api: [silent(api)] }
  const say = (status: number): [string, number] => {
    const proxy = { address: '198.51.100.9:3128', from: 'of the configuration', reached: 'open', status } as const
    const { verdict, findings } = diagnose({ ...shut, proxy })
    return [verdict, findings.filter(({ state }) => state === 'broken').length]
  }
  assert.deepEqual([407, 401, 403].map(say), [
    ['proxy-password', 1],
    ['proxy-password', 1],
    ['proxy-refuses', 1],
  ])
  assert.deepEqual(say(502), ['broker-silent', 1])
})

test('only 443 is let out where a new WebSocket works, not where an old one lives on', () => {
  const stream: DoorFact = { host, endpoint: { address, port: 443 }, reached: 'open', tls: { kind: 'proven' }, status: 101 }
  const agent = { kind: 'running', tunnel: 'up', sinceSeconds: 60, suite: 'noise', carrier: 'websocket' } as const
  const shut: Facts = { ...well, udp: [{ ...udp, answered: 0, sizes: [] }], api: [silent(api)], agent }
  assert.equal(diagnose({ ...shut, streams: [stream] }).verdict, 'only-443')
  assert.equal(diagnose(shut).verdict, 'only-443')
  const { findings } = diagnose({ ...shut, streams: [silent(stream)] })
  assert.deepEqual(
    findings.filter(({ state }) => state !== 'ok').map(({ code }) => code),
    ['udp-silent', 'api-silent', 'websocket-silent'],
  )
})

const made = '2001:db8:64::c633:6402'
/** The same machine in a network without IPv4, whose NAT64 is to lead to the broker. */
const { agent: _agent, names: _names, ...nameless } = well
const translated: Facts = {
  ...nameless,
  interfaces: [{ name: 'wwan0', up: true, addresses: ['2001:db8:7::2'] }],
  routes: { ipv4: false, ipv6: true },
  nat64: { how: 'discovered', prefixes: ['2001:db8:64::/96'] },
  udp: [{ ...udp, endpoint: { address: made, port: 4500 } }],
  api: [{ ...api, endpoint: { address: made, port: 8443 } }],
}

test('a NAT64 that leads to the broker is named, and told of', () => {
  const { verdict, findings } = diagnose(translated)
  assert.equal(verdict, 'ok')
  const line = findings.find(({ code }) => code === 'nat64')
  assert.match(line!.text, /no IPv4.*2001:db8:64::\/96/)
  assert.deepEqual(summaryOf({ verdict, findings }).findings, [line])
  const own = { kind: 'running', tunnel: 'up', sinceSeconds: 9, suite: 'noise', nat64: '2001:db8:64::/96' } as const
  assert.ok(diagnose({ agent: own }).findings.some(({ code, state }) => code === 'nat64' && state === 'ok'))
})

test('a NAT64 that leads nowhere is the one broken line; where only a guess was tried, its absence is', () => {
  const door = translated.api![0]!
  const mute: Facts = { ...translated, udp: [{ ...translated.udp![0]!, answered: 0, sizes: [] }], api: [silent(door)] }
  const refused: Facts = {
    ...translated,
    udp: [{ ...mute.udp![0]!, sent: 0, unreachable: true }],
    api: [{ ...silent(door), reached: 'unreachable' }],
  }
  const guessed: Facts = { ...mute, nat64: { how: 'guessed', prefixes: ['2001:db8:64::/96'] } }
  for (const [facts, code] of [
    [mute, 'nat64-silent'],
    [refused, 'nat64-broken'],
    [guessed, 'no-family'],
  ] as const) {
    const { verdict, findings } = diagnose(facts)
    assert.equal(verdict, code)
    assert.equal(findings.filter(({ state }) => state === 'broken').length, 1, JSON.stringify(findings))
  }
})

test('a NAT64 that leads nowhere beside an IPv6 that does is a warning, and a stopped broker behind one is no fault of its', () => {
  const six = { address: '2001:db8:9::1', port: 4500 }
  const mute = { ...translated.udp![0]!, answered: 0, sizes: [] }
  const { findings } = diagnose({ ...translated, udp: [mute, { ...udp, endpoint: six }], api: [] })
  assert.deepEqual(
    findings.filter(({ code }) => code.startsWith('nat64')).map(({ code, state }) => [code, state]),
    [['nat64-broken', 'warn']],
  )
  const stopped = diagnose({
    ...translated,
    udp: [{ ...mute, refused: true }],
    api: [{ ...silent(translated.api![0]!), reached: 'refused' }],
  })
  assert.equal(stopped.verdict, 'broker-stopped')
})

test('F-09 a portal is a redirect by somebody else while the broker is not reached, never while it is', () => {
  const page = [{ endpoint: { address, port: 80 }, reached: 'open' as const, status: 302, redirectedTo: '192.168.7.1' }]
  const { agent: _, ...noAgent } = well
  const caught = {
    ...noAgent,
    udp: [{ ...udp, answered: 0, sizes: [] }],
    api: [{ ...api, tls: { kind: 'other-issuer' as const, issuer: 'Hotel' } }],
  }
  assert.equal(diagnose({ ...caught, plainHttp: page }).verdict, 'portal')
  assert.equal(diagnose({ ...well, plainHttp: page }).verdict, 'ok')
  assert.equal(diagnose({ ...caught, plainHttp: [{ ...page[0]!, redirectedTo: host }] }).verdict, 'tls-inspected')
})

test('F-05 a clock below the floor, and one far from the broker’s', () => {
  assert.equal(diagnose({ ...well, clock: { wall: wallTime(0), floor: wall } }).verdict, 'clock-wrong')
  assert.equal(diagnose({ ...well, clock: { wall: wallTime(wall + days(7300)), floor: wallTime(0) } }).verdict, 'clock-wrong')
})

test('A-77 what a stranger’s certificate says cannot drive the terminal', () => {
  const alien = { ...api, tls: { kind: 'other-issuer' as const, issuer: '\u001b[2J\u202eevil' } }
  const { udp: _, agent: __, ...rest } = well
  const lines = describe(diagnose({ ...rest, api: [alien] })).join('\n')
  assert.match(lines, /\\u\{1b\}\[2J\\u\{202e\}evil/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  assert.doesNotMatch(lines, /[\u001b\u202e]/)
})

test('what a device tells of itself is bounded, and leaves out what is well', () => {
  const services = Array.from({ length: 40 }, (_, i) => ({
    name: `service-${i}-${'x'.repeat(600)}`,
    target: { address: '127.0.0.1', port: 1000 + i },
    reached: 'refused' as const,
  }))
  const { verdict, findings } = summaryOf(diagnose({ ...well, services }))
  assert.equal(verdict, 'service-down')
  assert.equal(findings.length, 8)
  assert.ok(JSON.stringify(findings).length < 8_192)
  assert.deepEqual(summaryOf(diagnose(well)), { verdict: 'ok', findings: [] })
})

test('before enrolment a broker without an API is broken, since nobody enrols there', () => {
  const { agent: _agent, certificate: _certificate, ...stranger } = well
  const refused: DoorFact = { host, endpoint: { address, port: 1 }, reached: 'refused' }
  const stateOf = (facts: Facts) => diagnose(facts).findings.find(({ code }) => code.startsWith('api-'))
  assert.equal(stateOf({ ...stranger, api: [refused] })?.state, 'broken')
  assert.match(stateOf({ ...stranger, api: [silent(api)] })!.text, /nobody enrols there/)
  assert.equal(stateOf({ ...well, api: [refused] })?.state, 'warn')
  assert.match(stateOf({ ...well, api: [silent(api)] })!.text, /cannot be renewed/)
})

test('a broker of which only the host is known', () => {
  assert.deepEqual(endpointHosts('b.example'), {
    api: ['https://b.example:8443'],
    endpoints: ['b.example:4500'],
    streams: ['wss://b.example:443/v1/tunnel', 'wss://b.example:8443/v1/tunnel'],
  })
  assert.deepEqual(endpointHosts('https://b.example:443').api, ['https://b.example:443'])
  assert.deepEqual(endpointHosts('2001:db8::1').endpoints, ['[2001:db8::1]:4500'])
  for (const bad of ['', 'a b', 'http://x', 'user@host', 'host/path'])
    assert.throws(
      () => endpointHosts(bad),
      (error) => isAditError(error) && error.code === 'usage',
      bad,
    )
})
