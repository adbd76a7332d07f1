import assert from 'node:assert/strict'
import test from 'node:test'
import { IgdFault } from '#agent/io/upnp-gateway.ts'
import { type MappingGateway, UpnpPort } from '#agent/io/upnp-port.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { Timer } from '#shared/platform/timers.ts'

type Call = [action: 'add' | 'delete', externalPort: number, ...rest: number[]]

/** A gateway that answers at once, and the timers that were set, in the order of their setting. */
function scene({ fault = (_port: number, _lease: number): number | undefined => undefined, address = '11.22.33.44' } = {}) {
  const calls: Call[] = []
  const timers: { delay: number; call: () => void; cleared: boolean }[] = []
  const changes: (string | undefined)[] = []
  const state = { address, found: true }
  const gateway: MappingGateway = {
    async addMapping(externalPort, internalPort, lease) {
      calls.push(['add', externalPort, internalPort, lease])
      const code = fault(externalPort, lease)
      if (code !== undefined) throw new IgdFault(code, 500)
    },
    async deleteMapping(externalPort) {
      calls.push(['delete', externalPort])
    },
    externalAddress: async () => state.address,
  }
  const port = new UpnpPort({
    suite: nativeSuite,
    timers: {
      setTimer(delay, call): Timer {
        const timer = { delay, call, cleared: false }
        timers.push(timer)
        return {
          clear() {
            timer.cleared = true
          },
        }
      },
    },
    ...{ gateway: '192.168.7.1', client: '192.168.7.2', internalPort: 40_000 },
    find: async () => (state.found ? gateway : undefined),
    onChange: () => changes.push(port.report?.external && `${port.report.external.address}:${port.report.external.port}`),
  })
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve))
  return { port, calls, timers, changes, state, settled }
}

const half = 30 * 60_000

test('a port is asked for, asked for again at half its lease, and given back at the end', async () => {
  const { port, calls, timers, changes, settled } = scene()
  await settled()
  assert.deepEqual(calls, [['add', 40_000, 40_000, 3_600]])
  assert.deepEqual(changes, ['11.22.33.44:40000'])
  assert.equal(port.report?.protocol, 'UPnP')
  assert.equal(timers.at(-1)!.delay, half)
  timers.at(-1)!.call()
  await settled()
  assert.equal(calls.length, 2)
  assert.equal(changes.length, 1, 'nothing has changed')
  await port.close()
  assert.deepEqual(calls.at(-1), ['delete', 40_000])
  assert.equal(port.report, undefined)
})

test('a gateway that gives leases without an end alone, and one where the port is taken', async () => {
  const permanent = scene({ fault: (_port, lease) => (lease === 0 ? undefined : 725) })
  await permanent.settled()
  assert.deepEqual(permanent.calls.at(-1), ['add', 40_000, 40_000, 0])
  assert.equal(permanent.timers.at(-1)!.delay, half, 'gateways start anew')

  const taken = scene({ fault: (port) => (port === 40_000 ? 718 : undefined) })
  await taken.settled()
  const [, other] = taken.calls.at(-1)!
  assert.ok(other >= 49_152 && other <= 65_535)
  assert.deepEqual(taken.changes, [`11.22.33.44:${other}`])

  const full = scene({ fault: () => 718 })
  await full.settled()
  assert.equal(full.calls.length, 4, 'it is not asked for ever')
  assert.equal(full.port.refused, 'error 718')
})

test('no port behind a second NAT or without an address; asked again ever more seldom', async () => {
  for (const [address, why] of [
    ['192.168.1.7', 'behind another NAT'],
    ['100.64.3.9', 'behind another NAT'],
    ['0.0.0.0', 'no external address'],
    ['127.0.0.1', 'no external address'],
    ['fd00::1', 'no external address'],
    ['', 'no external address'],
  ] as const) {
    const { port, calls, timers, settled } = scene({ address })
    await settled()
    assert.deepEqual([port.refused, port.report, calls.length], [why, undefined, 0], address)
    assert.ok(timers.at(-1)!.delay >= 3 * 3_600_000)
  }
})

test('what the gateway had and lost is told, and it is looked for anew', async () => {
  const { port, timers, changes, state, settled } = scene()
  await settled()
  state.address = '192.168.1.7'
  timers.at(-1)!.call()
  await settled()
  assert.deepEqual(changes, ['11.22.33.44:40000', undefined])
  state.found = false
  timers.at(-1)!.call()
  await settled()
  assert.equal(port.refused, 'silent')
})

test('another socket: the old port is given back before the new one is asked for', async () => {
  const { port, calls, timers, settled } = scene()
  await settled()
  port.setInternalPort(40_001)
  await settled()
  await settled()
  assert.deepEqual(calls, [
    ['add', 40_000, 40_000, 3_600],
    ['delete', 40_000],
    ['add', 40_001, 40_001, 3_600],
  ])
  assert.ok(timers[0]!.cleared)
  await port.close()
})
