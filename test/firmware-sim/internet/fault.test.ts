import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Fault, makeFault } from '#sim/internet/fault.ts'

const seen = ({ world }: Fault) => JSON.stringify([world.examine(), world.brokerFacts()])
const causes = new Set(Array.from({ length: 100 }, (_, seed) => makeFault(seed).cause))

test('seeds that follow one another go through all causes, and one seed gives one world', () => {
  assert.ok(causes.size >= 30, `${causes.size} causes`)
  for (const seed of [3, 17, 30]) assert.equal(seen(makeFault(seed)), seen(makeFault(seed)))
  assert.notEqual(seen(makeFault(0)), seen(makeFault(causes.size)), 'another world with the same fault')
})

test('each cause leaves a trace: what both ends know differs from what they know of the same world in health', () => {
  for (let seed = 0; seed < causes.size; seed++) {
    const fault = makeFault(seed)
    const healthy = makeFault(seed, 'none')
    assert.equal(healthy.cause, 'none')
    assert.notEqual(seen(fault), seen(healthy), fault.cause)
    assert.equal(healthy.world.brokerFacts()?.state, 'up', `${fault.cause} in health`)
    const agent = healthy.world.examine()?.agent
    assert.equal(agent?.kind === 'running' && agent.tunnel, 'up')
  }
})

test('what the ends see is what packets showed', () => {
  const of = (cause: Fault['cause'], seed = 5) => makeFault(seed, cause).world
  assert.ok(
    of('udp-blocked')
      .examine()
      ?.udp?.every(({ answered }) => answered === 0),
  )
  assert.ok(
    of('udp-blocked')
      .examine()
      ?.api?.some(({ tls }) => tls?.kind === 'proven'),
  )
  assert.ok(of('udp-one-way').brokerFacts()?.heardUnanswered)
  assert.ok(
    of('mtu-black-hole')
      .examine()
      ?.udp?.some(({ sizes }) => sizes.some(({ answered }) => !answered)),
  )
  assert.equal(of('symmetric-nat').examine()?.nat?.mapping, 'address-and-port-dependent')
  assert.equal(of('proxy-auth').examine()?.proxy?.status, 407)
  assert.ok(
    of('portal')
      .examine()
      ?.plainHttp?.every(({ status }) => status === 302),
  )
  assert.ok(
    of('broker-stopped')
      .examine()
      ?.api?.some(({ reached }) => reached === 'refused'),
  )
  assert.equal(of('broker-stopped').brokerFacts(), undefined)
  assert.equal(of('device-off').examine(), undefined)
  assert.equal(
    of('ipv4-broken')
      .examine()
      ?.udp?.filter(({ answered }) => answered > 0).length,
    1,
  )
})
