import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, type TestContext, test } from 'node:test'
import type { NatBehaviour } from '#shared/nat/behaviour.ts'
import { natKinds } from '#sim/nat-box.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'
import { runCommand } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'
import { LabWire } from '#test/lab/wire.ts'

/** coturn's clients against our broker, our client against coturn's server, behind the kernel's NATs: all must say the same. */

const second = '198.51.100.3'
const stunConfig = `[stun]\nalternate = ["${second}:4501"]\n`

/** What a command says inside; it may run for `timeoutMs`. */
async function said(host: Host, words: readonly string[], timeoutMs = 60_000): Promise<string> {
  const { stdout, stderr } = await runCommand(host.prefix[0]!, [...host.prefix.slice(1), ...words], { timeoutMs })
  return stdout + stderr
}

/** coturn's discovery: `-m` or `-f`, and `-P` for PADDING of 1500 bytes. */
const discovered = (host: Host, port: number, server: string, ...flags: string[]): Promise<string> =>
  said(host, ['turnutils_natdiscovery', ...flags, '-p', String(port), server])

async function found(host: Host, ...servers: string[]): Promise<NatBehaviour> {
  const child = new URL('./behaviour-child.ts', import.meta.url).pathname
  const answer = await said(host, [process.execPath, '--import', 'tsx', child, ...servers])
  return JSON.parse(answer) as NatBehaviour
}

const reflexive = /UDP reflexive addr: ([0-9.]+):(\d+)/

/** coturn's server at both addresses of `srv`, port 3478 and the one after it. */
async function coturn(t: TestContext, { srv, server }: NatNetwork): Promise<void> {
  const flags = ['-n', '-L', server, '-L', second, '-p', '3478', '--no-auth', '--no-tls', '--no-dtls', '--no-cli']
  const words = [...srv.prefix.slice(1), 'turnserver', ...flags, '--log-file', 'stdout', '--pidfile', '/dev/null']
  const child = spawn(srv.prefix[0]!, words, { stdio: 'ignore' })
  t.after(async () => {
    child.kill()
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  })
  const open = () => srv.run('ss', '-Huln', 'sport', '=', ':3479').split('\n').length > 2
  await seen(open, Boolean, { timeoutMs: 10_000, otherwise: () => 'turnserver did not open its ports' })
}

describe('STUN', { concurrency: 2 }, () => {
  for (const kind of ['easy', 'symmetric'] as const) {
    test(`${kind} NAT: coturn's clients at our broker, and our client at ours and at coturn's, agree`, async (t) => {
      const network = new NatNetwork(t, { kind })
      const { dev, srv, server, outer } = network
      await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443`, config: stunConfig })
      await coturn(t, network)
      const mapping = kind === 'easy' ? 'endpoint-independent' : 'address-and-port-dependent'
      const words = kind === 'easy' ? 'NAT with Endpoint Independent Mapping' : 'NAT with Address and Port Dependent Mapping'

      const stunclient = await said(dev, ['turnutils_stunclient', '-p', '4500', server], 2_000)
      assert.equal(reflexive.exec(stunclient)?.[1], outer)
      for (const flags of [[], ['-P']]) {
        const theirs = await discovered(dev, 4500, server, '-m', '-f', ...flags)
        assert.ok(theirs.includes(words), theirs)
        assert.ok(theirs.includes('NAT with Address and Port Dependent Filtering'), theirs)
        assert.equal(reflexive.exec(theirs)?.[1], outer)
        if (flags.length > 0) assert.ok(!theirs.includes('ALG detected') && theirs.includes('Mapped == XOR-Mapped'), theirs)
      }
      assert.ok((await discovered(dev, 3478, server, '-m')).includes(words), 'coturn of itself')

      for (const servers of [[`${server}:4500`], [`${server}:3478`]]) {
        const ours = await found(dev, ...servers)
        assert.deepEqual(ours.mapping, [mapping], servers[0])
        assert.deepEqual(ours.filtering, ['address-and-port-dependent'])
        assert.equal(ours.reflexive?.address, outer)
        assert.equal(ours.translated, true)
        assert.equal(ours.portPreservation, kind === 'easy')
      }
    })
  }

  test('every kind of NAT, by the project’s own wire: coturn’s client and ours find what is there', async (t) => {
    const internet = Internet.open(t)
    const srv = internet.host('srv')
    const inside = internet.host('dev')
    const server = '198.51.100.2'
    const outsideAddress = '203.0.113.2'
    const wire = new LabWire(t, {
      inside: { host: inside, addresses: ['192.168.7.2'] },
      outside: { host: srv, addresses: [server, second] },
      nat: { behaviour: natKinds.symmetric, outsideAddress },
    })
    await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443`, config: stunConfig })
    const coturnsWords = {
      'endpoint-independent': 'Endpoint Independent',
      'address-dependent': 'Address Dependent',
      'address-and-port-dependent': 'Address and Port Dependent',
    }
    const half = { ...natKinds.symmetric, mapping: 'address-dependent', filtering: 'address-dependent' } as const
    for (const behaviour of [...Object.values(natKinds), half]) {
      wire.nat!.udp.behaviour = behaviour
      const theirs = await discovered(inside, 4500, server, '-m', '-f')
      // Its third question goes to the first address again, since it takes OTHER-ADDRESS of the second answer: this kind it cannot tell.
      if (behaviour.mapping !== 'address-dependent')
        assert.ok(theirs.includes(`NAT with ${coturnsWords[behaviour.mapping]} Mapping`), theirs)
      assert.ok(theirs.includes(`NAT with ${coturnsWords[behaviour.filtering]} Filtering`), theirs)
      const ours = await found(inside, `${server}:4500`)
      assert.deepEqual([ours.mapping, ours.filtering], [[behaviour.mapping], [behaviour.filtering]])
      assert.equal(ours.reflexive?.address, outsideAddress)
    }
  })

  test('without a NAT all see that nothing is translated or filtered; and a firewall that lets in answers alone', async (t) => {
    const network = new NatNetwork(t, { kind: 'easy' })
    const { core, srv, server } = network
    await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443`, config: stunConfig })
    await coturn(t, network)
    const theirs = await discovered(core, 4500, server, '-m', '-f', '-P', '-L', '198.51.100.1')
    assert.ok(theirs.includes('No NAT'), theirs)
    for (const port of [4500, 3478]) {
      const ours = await found(core, `${server}:${port}`)
      assert.equal(ours.translated, false)
      assert.deepEqual(ours.mapping, [])
      assert.deepEqual(ours.filtering, ['endpoint-independent'])
    }
    core.nft(`table ip wall {
      chain in {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
      }
    }`)
    for (const port of [4500, 3478])
      assert.deepEqual((await found(core, `${server}:${port}`)).filtering, ['address-and-port-dependent'])
  })

  test('a broker at all addresses answers from the one that was asked, behind either NAT', async (t) => {
    const { dev, srv, server } = new NatNetwork(t, { kind: 'symmetric' })
    await Fleet.start(t, { prefix: srv.prefix, listen: '0.0.0.0:4500', api: `${server}:8443`, config: stunConfig })
    const theirs = await discovered(dev, 4500, server, '-m', '-f')
    assert.ok(theirs.includes('NAT with Address and Port Dependent Mapping'), theirs)
    assert.deepEqual((await found(dev, `${server}:4500`)).mapping, ['address-and-port-dependent'])
  })

  test('RESPONSE-PORT: coturn finds a mapping alive after 3 s and dead after its time', async (t) => {
    const { dev, srv, server } = new NatNetwork(t, { kind: 'easy', mapping: { fresh: 5, answered: 5 } })
    await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
    const alive = await discovered(dev, 4500, server, '-t', '-T', '3')
    const dead = await discovered(dev, 4500, server, '-t', '-T', '7')
    assert.ok(!alive.includes('timeout'), alive)
    assert.ok(dead.includes('timeout'), dead)
  })
})
