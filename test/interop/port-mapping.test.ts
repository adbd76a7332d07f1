import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { PortMappingReport } from '#shared/nat/port-mapping.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { Fleet } from '#test/lab/fleet.ts'
import { Miniupnpd, mappedAddress } from '#test/lab/miniupnpd.ts'
import { NatNetwork } from '#test/lab/nat-network.ts'
import { Program } from '#test/lab/program.ts'
import { seen } from '#test/lab/seen.ts'

/** Debian's miniupnpd gives us ports, by PCP, by NAT-PMP and by UPnP, and strangers outside reach us through them. */

interface Changed {
  event: string
  external: Endpoint
  reports: PortMappingReport[]
}

function mapper(t: TestContext, { dev }: NatNetwork): Program {
  const child = new URL('./port-mapping-child.ts', import.meta.url).pathname
  const program = Program.command('ip', [...dev.prefix.slice(1), process.execPath, '--import', 'tsx', child])
  t.after(() => program.stop())
  return program
}

async function mapped(program: Program): Promise<Changed> {
  const event = await program.event(({ event, external }) => event === 'changed' && external !== undefined, 60_000)
  return event as unknown as Changed
}

/** A stranger outside says a word to the port. */
async function reaches({ srv }: NatNetwork, program: Program, port: number, text: string): Promise<void> {
  srv.run('bash', '-c', `printf ${text} >/dev/udp/${mappedAddress}/${port}`)
  await program.event((event) => event.event === 'heard' && event.text === text)
}

describe('port mapping', { concurrency: 2 }, () => {
  test('PCP: a port is given and leads to us; a gateway that lost it is asked again; at the end it is given back', async (t) => {
    const network = new NatNetwork(t, { kind: 'easy' })
    const gateway = await Miniupnpd.start(t, network)
    const program = mapper(t, network)
    const { external, reports } = await mapped(program)
    assert.equal(external.address, mappedAddress)
    assert.equal(reports[0]?.protocol, 'PCP')
    assert.deepEqual(gateway.mappings(), [external.port])
    await reaches(network, program, external.port, 'first')

    await gateway.restart()
    const patience = { timeoutMs: 8_000, otherwise: () => 'the announcement was not followed by a question' }
    await seen(
      () => gateway.mappings(),
      (ports) => ports.length > 0,
      patience,
    )
    await reaches(network, program, external.port, 'second')

    assert.equal(await program.stop(), 0)
    assert.deepEqual(gateway.mappings(), [])
  })

  test('a device behind it asks once its tunnel is up, and gives the port back when it ends', async (t) => {
    const network = new NatNetwork(t, { kind: 'easy' })
    const gateway = await Miniupnpd.start(t, network)
    const { dev, srv, server } = network
    const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443` })
    const device = await fleet.device('pi', { prefix: dev.prefix })
    const patience = { timeoutMs: 10_000, otherwise: () => 'no port was asked for' }
    const [port] = await seen(
      () => gateway.mappings(),
      (ports) => ports.length > 0,
      patience,
    )
    assert.ok(dev.run('ss', '-Huln', 'sport', '=', `:${port}`) !== '', 'it leads to a port of the device')
    assert.equal(await device.program.stop(), 0)
    assert.deepEqual(gateway.mappings(), [])
  })

  test('NAT-PMP: a gateway that lets PCP pass in silence is asked by it', async (t) => {
    const network = new NatNetwork(t, { kind: 'easy' })
    network.nat.nft(`table ip deaf {
      chain in {
        type filter hook input priority 0;
        udp dport 5351 @th,64,8 2 drop
      }
    }`)
    const gateway = await Miniupnpd.start(t, network)
    const program = mapper(t, network)
    const { external, reports } = await mapped(program)
    assert.equal(external.address, mappedAddress)
    assert.equal(reports[0]?.protocol, 'NAT-PMP')
    await reaches(network, program, external.port, 'word')
    assert.equal(await program.stop(), 0)
    assert.deepEqual(gateway.mappings(), [])
  })

  test('UPnP: a gateway that speaks nothing else is found, and takes its port back', async (t) => {
    const network = new NatNetwork(t, { kind: 'easy' })
    const gateway = await Miniupnpd.start(t, network, { speaks: 'upnp' })
    const program = mapper(t, network)
    const { external, reports } = await mapped(program)
    assert.equal(external.address, mappedAddress)
    assert.equal(reports[0]?.protocol, 'UPnP')
    assert.deepEqual(gateway.mappings(), [external.port])
    await reaches(network, program, external.port, 'word')
    assert.equal(await program.stop(), 0)
    assert.deepEqual(gateway.mappings(), [])
  })
})
