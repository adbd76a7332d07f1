import assert from 'node:assert/strict'
import test from 'node:test'
import { Nat64, type Nat64Ports } from '#shared/platform/nat64.ts'
import { formatCidr, parseCidr } from '#shared/wire/ip-address.ts'

/** A machine without IPv4 whose name server knows a NAT64, and what a test makes of it. */
function machine(changes: Partial<Nat64Ports> = {}): { nat64: Nat64; asked(): number; ports: Nat64Ports } {
  let asked = 0
  const ports: Nat64Ports = {
    ask: async () => ['2001:db8:64::c000:aa', '2001:db8:64::c000:ab'],
    hasWay: async () => false,
    hasIpv6: () => true,
    now: () => 0,
    ...changes,
  }
  const nat64 = new Nat64({
    ...ports,
    ask: () => {
      asked++
      return ports.ask()
    },
  })
  return { nat64, asked: () => asked, ports }
}

const broker = '198.51.100.2'
const made = '2001:db8:64::c633:6402'

test('without a route to IPv4, what the name server makes of ipv4only.arpa leads there; it is asked once', async () => {
  const { nat64, asked } = machine()
  assert.deepEqual(await nat64.through(['2001:db8:9::1', broker]), ['2001:db8:9::1', made, broker])
  assert.deepEqual(await nat64.through([broker]), [made, broker])
  assert.equal(asked(), 1)
  assert.deepEqual((await nat64.look(broker))?.prefixes.map(formatCidr), ['2001:db8:64::/96'])
})

test('nobody is asked where IPv4 has a route, where no IPv4 address is wanted, and without IPv6', async () => {
  for (const [changes, addresses] of [
    [{ hasWay: async () => true }, [broker]],
    [{}, ['2001:db8:9::1']],
    [{ hasIpv6: () => false }, [broker]],
  ] as const) {
    const { nat64, asked } = machine(changes)
    assert.deepEqual(await nat64.through(addresses), addresses)
    assert.equal(asked(), 0)
  }
})

test('a name server that knows of none: what served before, then the well-known prefix, is tried after everything else', async () => {
  let clock = 0
  const { nat64, asked } = machine({ ask: () => Promise.reject(new Error('ENOTFOUND')), now: () => clock })
  assert.deepEqual(await nat64.through(['8.8.4.4']), ['8.8.4.4', '64:ff9b::808:404'])
  assert.equal((await nat64.look(broker))?.how, 'guessed')
  // Of a private address the well-known prefix says nothing.
  assert.deepEqual(await nat64.through(['10.0.0.1']), ['10.0.0.1'])
  nat64.remember([parseCidr('2001:db8:64::/96')])
  assert.deepEqual(await nat64.through([broker]), [made, broker])
  assert.equal((await nat64.look(broker))?.how, 'remembered')
  assert.equal(asked(), 1)
  clock = 5_000
  await nat64.through([broker])
  assert.equal(asked(), 2, 'a silence is not believed for long')
})

test('another network is asked anew, and the answer that the old one still gives is not taken for its', async () => {
  const answers: ((addresses: readonly string[]) => void)[] = []
  const { nat64 } = machine({ ask: () => new Promise((resolve) => answers.push(resolve)) })
  const before = nat64.look(broker)
  while (answers.length < 1) await Promise.resolve()
  nat64.forget()
  const after = nat64.look(broker)
  while (answers.length < 2) await Promise.resolve()
  answers[1]!(['64:ff9b::c000:aa'])
  assert.deepEqual((await after)?.prefixes.map(formatCidr), ['64:ff9b::/96'])
  answers[0]!(['2001:db8:64::c000:aa'])
  assert.deepEqual((await before)?.prefixes.map(formatCidr), ['64:ff9b::/96'])
})

test('a network with IPv4 again needs none', async () => {
  let has = false
  const { nat64 } = machine({ hasWay: async () => has })
  assert.ok(await nat64.look(broker))
  has = true
  assert.equal(await nat64.look(broker), undefined)
})

test('of this machine: loopback always has a route, and is never translated', async () => {
  assert.deepEqual(await new Nat64().through(['127.0.0.1']), ['127.0.0.1'])
})
