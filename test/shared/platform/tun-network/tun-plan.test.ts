import assert from 'node:assert/strict'
import test from 'node:test'
import { isAditError } from '#shared/errors.ts'
import { checkedPlan, type TunPlan } from '#shared/platform/tun-network/tun-plan.ts'

const plan: TunPlan = { name: 'adit0', addresses: ['fd12::1', '100.64.0.5'], mtu: 1_280, routes: ['fd12::/48', '100.64.0.0/10'] }

test('addresses become canonical, networks lose their host bits, and nothing is there twice', () => {
  const checked = checkedPlan({
    ...plan,
    addresses: ['FD12:0::1', 'fd12::1', '100.64.0.5'],
    routes: ['fd12::7/48', 'fd12::/48', '100.127.3.4/10', '10.1.2.3'],
    all: { outside: ['2001:DB8:0::9', '2001:db8::9'], dns: ['fd12::53', 'fd12::53', '100.64.0.1', '100.64.0.2', '100.64.0.3'] },
  })
  assert.deepEqual(checked, {
    ...plan,
    routes: ['fd12::/48', '100.64.0.0/10', '10.1.2.3/32'],
    all: { outside: ['2001:db8::9'], dns: ['fd12::53', '100.64.0.1', '100.64.0.2'] },
  })
})

test('networks of a family without an address of ours are left out: nothing could be sent there', () => {
  assert.deepEqual(checkedPlan({ ...plan, addresses: ['fd12::1'] }).routes, ['fd12::/48'])
})

test('what is no plan is refused, before a line of it is made', () => {
  const cases: readonly [Partial<TunPlan>, string][] = [
    [{ name: 'a-name-of-16-let' }, 'config-invalid'],
    [{ name: 'x up\nlink' }, 'config-invalid'],
    [{ name: '-4' }, 'config-invalid'],
    [{ name: '..' }, 'config-invalid'],
    [{ name: 'a/b' }, 'config-invalid'],
    [{ mtu: 1_279 }, 'config-invalid'],
    [{ mtu: 65_536 }, 'config-invalid'],
    [{ mtu: Number.NaN }, 'config-invalid'],
    [{ addresses: [] }, 'config-invalid'],
    [{ addresses: ['100.64.0.5/10'] }, 'config-invalid'],
    [{ addresses: ['fe80::1%eth0'] }, 'config-invalid'],
    [{ routes: ['0.0.0.0/0'] }, 'config-invalid'],
    [{ routes: ['::/0'] }, 'config-invalid'],
    [{ routes: ['fd12::/129'] }, 'config-invalid'],
    [{ all: { outside: ['broker.example'], dns: [] } }, 'config-invalid'],
    [{ all: { outside: ['203.0.113.9'], dns: ['one.one.one.one'] } }, 'config-invalid'],
    [{ all: { outside: ['203.0.113.9', '100.64.9.9'], dns: [] } }, 'network-overlap'],
  ]
  for (const [change, code] of cases) {
    assert.throws(
      () => checkedPlan({ ...plan, ...change }),
      (error) => isAditError(error) && error.code === code && error.mend.length > 0,
      JSON.stringify(change),
    )
  }
})
