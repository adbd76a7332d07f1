import assert from 'node:assert/strict'
import test from 'node:test'
import { difference, type Setting, settingsOf } from '#shared/platform/tun-network/setting.ts'
import { checkedPlan, type TunPlan } from '#shared/platform/tun-network/tun-plan.ts'

const split = checkedPlan({
  name: 'adit0',
  addresses: ['fd12::1', '100.64.0.5'],
  mtu: 1_280,
  routes: ['fd12::/48', '100.64.0.0/16'],
})
const whole: TunPlan = { ...split, all: { outside: ['203.0.113.9', '2001:db8::9'], dns: [] } }
const both = { inside: true, outside: true }

const linesOf = (settings: readonly Setting[]): string[] => settings.map(({ family = '', add }) => `${family} ${add}`.trim())

const link = ['link set dev adit0 addrgenmode none', 'link set dev adit0 mtu 1280 up']
const addresses = ['address add fd12::1/128 dev adit0 nodad', 'address add 100.64.0.5/32 dev adit0']
const routes = ['fd12::/48', '100.64.0.0/16'].map((route) => `route add ${route} dev adit0 table main proto 145`)

test('split tunnel: the interface, then its addresses, then the networks behind it', () => {
  assert.deepEqual(linesOf(settingsOf(split, both)), [...link, ...addresses, ...routes])
})

test('route = "all": both default routes, each with what is there when it is gone; and the rule that leads to them last', () => {
  const rules = (family: string, outside: string, near: number): string[] => [
    `${family} rule add priority 14509 nop protocol 145`,
    `${family} rule add to ${outside} priority 14500 goto 14509 protocol 145`,
    `${family} rule add priority 14501 lookup main suppress_prefixlength ${near} protocol 145`,
    `${family} rule add priority 14502 lookup 14500 protocol 145`,
  ]
  assert.deepEqual(linesOf(settingsOf(whole, both)), [
    ...[...link, ...addresses, ...routes],
    'route add unreachable 0.0.0.0/0 table 14500 metric 4294967295 proto 145',
    'route add 0.0.0.0/0 dev adit0 table 14500 proto 145',
    'route add unreachable ::/0 table 14500 metric 4294967295 proto 145',
    'route add ::/0 dev adit0 table 14500 proto 145',
    ...rules('4', '203.0.113.9', 7),
    ...rules('6', '2001:db8::9', 6),
  ])
})

test('a tunnel without IPv6 leaves IPv6 unreachable; a kernel without it is not asked for it', () => {
  const four: TunPlan = { ...whole, addresses: ['100.64.0.5'], routes: ['100.64.0.0/16'] }
  const closed = linesOf(settingsOf(four, both))
  assert.ok(closed.includes('route add unreachable ::/0 table 14500 metric 4294967295 proto 145'))
  assert.ok(!closed.includes('route add ::/0 dev adit0 table 14500 proto 145'))
  assert.deepEqual(linesOf(settingsOf(whole, { inside: false, outside: true })), closed.slice(1))
  assert.ok(
    !linesOf(settingsOf(whole, { inside: false, outside: false })).some((line) => line.includes(':') || line.startsWith('6')),
  )
})

test('a change makes what is new, then takes back what is not wanted, the last first, and touches nothing else', () => {
  const present = settingsOf(whole, both)
  const larger = {
    ...split,
    mtu: 1_420,
    routes: ['fd12::/48', '10.0.0.0/8'],
    all: { outside: ['203.0.113.10', '2001:db8::9'], dns: [] },
  }
  const { add, remove } = difference(present, settingsOf(larger, both))
  assert.deepEqual(linesOf(add), [
    'link set dev adit0 mtu 1420 up',
    'route add 10.0.0.0/8 dev adit0 table main proto 145',
    '4 rule add to 203.0.113.10 priority 14500 goto 14509 protocol 145',
  ])
  assert.deepEqual(
    remove.map((setting) => setting.remove),
    [
      'rule del to 203.0.113.9 priority 14500 goto 14509 protocol 145',
      'route del 100.64.0.0/16 dev adit0 table main proto 145',
      undefined,
    ],
  )
  assert.deepEqual(difference(present, settingsOf(whole, both)), { add: [], remove: [] })
  const toSplit = difference(present, settingsOf(split, both)).remove
  assert.equal(
    toSplit[0]?.remove,
    'rule del priority 14502 lookup 14500 protocol 145',
    'nothing leads into the tunnel from then on',
  )
})
