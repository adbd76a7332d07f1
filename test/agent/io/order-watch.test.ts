import assert from 'node:assert/strict'
import test from 'node:test'
import { FleetTrust } from '#agent/core/fleet-trust.ts'
import type { BrokerOrder } from '#agent/io/broker-api.ts'
import { OrderWatch } from '#agent/io/order-watch.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { signStatement } from '#shared/fleet/statement.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { silentLog } from '#shared/platform/log.ts'
import { wallTime } from '#shared/time/instant.ts'

const fleet = new Uint8Array(32).fill(7)
const now = Date.UTC(2030, 0, 1)
const hash = (text: string): Uint8Array => suite.hash('sha256', Buffer.from(text))

/** A watch whose device has pinned `pinned`, or believes the broker's key; `answer`: what the API says when it is asked. */
function scene(options: { pinned?: KeyPair; broker: KeyPair }) {
  const identity = suite.ecdsaP256.generate()
  const tunnel = suite.x25519.generate()
  const record = { digest: '', ledger: { statements: [], versions: {} } }
  const trust = new FleetTrust(
    { suite, fleet, tunnelKey: tunnel.publicKey, time: () => wallTime(now) },
    { ...record, ...(options.pinned && { pinned: options.pinned.publicKey }) },
  )
  trust.setBrokerKeys([options.broker.publicKey])
  const due: (() => void)[] = []
  const heard: { id: string; next?: string }[] = []
  let order: BrokerOrder | undefined
  let asked = 0
  const api = {
    order: async () => {
      asked++
      if (order === undefined) throw new AditError('broker-unreachable', 'nobody answers', 'wait')
      return { order, time: now }
    },
  }
  const floors = { time: { now: () => now }, raiseTime: () => {}, tellTime: () => {} }
  const watch = new OrderWatch({
    suite,
    timers: {
      setTimer(_span: number, work: () => void) {
        due.push(work)
        return { clear: () => void due.splice(0) }
      },
    } as never,
    log: silentLog,
    identity: { keys: { identity }, api: () => api, floors } as never,
    fleet: { trust, learn: (statements) => trust.learn(statements) },
    onOrder: (given) => heard.push(given),
  })
  const sign = (pair: KeyPair, next?: string, of = identity): Uint8Array => {
    const scope = { fleet, version: 1, notBefore: wallTime(0), notAfter: wallTime(now + 1e9) }
    const spki = suite.hash('sha256', p256Spki(of.publicKey))
    const wipe = { kind: 'wipe' as const, id: 'ab'.repeat(16), device: 'pump', identity: spki }
    return signStatement({ ...scope, ...wipe, ...(next !== undefined && { next: hash(next) }) }, { suite, pair })
  }
  return {
    ...{ watch, trust, heard, sign },
    asked: () => asked,
    /** The next question is due, and answered by this. */
    async ask(statements: readonly Uint8Array[] | undefined, next?: string): Promise<void> {
      order = statements && { statements, ...(next !== undefined && { next }) }
      const [work] = due.splice(0)
      assert.ok(work, 'a question is due')
      work()
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

test('under a pinned key a stolen broker orders nothing: by its own key, for another device, or with another claim', async () => {
  const [pinned, broker] = [suite.ed25519.generate(), suite.ed25519.generate()]
  const { watch, heard, sign, ask } = scene({ pinned, broker })
  watch.start()
  await ask([sign(broker)])
  await ask([sign(pinned, undefined, suite.ecdsaP256.generate())])
  await ask([sign(pinned, 'the claim')], 'another claim')
  await ask([sign(pinned, 'the claim')])
  await ask([Uint8Array.of(1, 2, 3)])
  assert.deepEqual(heard, [])
  await ask([sign(pinned, 'the claim')], 'the claim')
  assert.deepEqual(heard, [{ id: 'ab'.repeat(16), next: 'the claim' }])
})

test('without a pinned key the broker’s order counts; one that does not answer is asked again, and not while the tunnel is up', async () => {
  const broker = suite.ed25519.generate()
  const { watch, heard, sign, ask, asked } = scene({ broker })
  watch.start()
  await ask(undefined)
  await ask(undefined)
  watch.tunnel(true)
  await assert.rejects(ask(undefined), /a question is due/)
  assert.equal(asked(), 2)
  watch.tunnel(false)
  await ask([sign(broker)])
  assert.deepEqual(heard, [{ id: 'ab'.repeat(16) }])
  await assert.rejects(ask(undefined), /a question is due/, 'told once, and quiet then')
})

test('an order among the statements of the tunnel is heard at once; that of a transfer asks for its claim', async () => {
  const broker = suite.ed25519.generate()
  const wiped = scene({ broker })
  wiped.trust.take(new Uint8Array(16), [wiped.sign(broker)])
  wiped.watch.look()
  assert.equal(wiped.heard.length, 1)
  const moved = scene({ broker })
  moved.trust.take(new Uint8Array(16), [moved.sign(broker, 'claim')])
  moved.watch.look()
  assert.equal(moved.asked(), 1)
  assert.equal(moved.heard.length, 0)
})
