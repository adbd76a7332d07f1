import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { hours, minutes, seconds } from '#shared/time/instant.ts'
import { ExchangeType } from '#shared/wire/ike-numbers.ts'
import { type EndOptions, policyOf, TwoEnds, type TwoEndsOptions } from './two-ends.ts'
import { assertWorking } from './working.ts'

const shortly = { ...defaultChildLifetime, softTime: seconds(60), hardTime: seconds(90) }
const child = (side: 'a' | 'b', lifetime = shortly) => ({ ...policyOf(side, 'aes256gcm16-x25519-esn'), lifetime })
const withShort = (more: TwoEndsOptions = {}): TwoEnds =>
  new TwoEnds({ b: { grant: { child: child('b') } }, initiation: { child: child('a') }, ...more }).connect()

describe('lifetimes', () => {
  test('a Child SA is renewed before its time, again and again, and there is always one to send with', () => {
    const town = withShort()
    const seen = new Set<number>()
    for (let i = 0; i < 600; i++) {
      town.run(1)
      assert.ok(town.a.sendsWith !== undefined && town.b.sendsWith !== undefined)
      seen.add(town.a.sendsWith)
    }
    assertWorking(town)
    assert.ok(seen.size >= 10 && seen.size <= 14, `${seen.size} in ten minutes of 60 s less a tenth`)
  })

  test('the IKE SA is renewed under it', () => {
    const settings = { ikeSoftTime: seconds(100), ikeHardTime: seconds(150) }
    const town = withShort({ a: { settings }, b: { settings, grant: { child: child('b') } } })
    const seen = new Set<bigint>()
    for (let i = 0; i < 600; i++) {
      town.run(1)
      seen.add(town.a.ike.localSpis[0]!)
    }
    assert.ok(seen.size >= 6)
  })

  test('what cannot be renewed ends at its hard limit, and is made anew', () => {
    const town = withShort()
    const old = town.a.ike.childSpis[0]!
    town.run(100, ({ exchange }) => exchange === ExchangeType.CreateChildSa)
    town.run(200)
    assert.ok(!town.a.ike.childSpis.includes(old))
    assertWorking(town)
  })

  test('an IKE SA that cannot be renewed ends', () => {
    const settings = { ikeSoftTime: minutes(10), ikeHardTime: minutes(12), patience: undefined }
    const ends: EndOptions = { settings }
    const town = new TwoEnds({ a: ends, b: ends }).connect()
    town.run(15 * 60, ({ exchange }) => exchange === ExchangeType.CreateChildSa)
    assert.equal(town.a.closedWhy(), 'dead')
  })

  test('soft limits differ by chance from peer to peer', () => {
    const times = new Set<number>()
    for (let seed = 1; seed <= 20; seed++) {
      const town = new TwoEnds({ seed }).connect()
      const due = town.a.ike.deadline()
      assert.ok(due !== undefined && due.at > town.now + hours(0.9) - 1 && due.at <= town.now + hours(1))
      assert.match(due.why, /^rekey child [0-9a-f]{8}$/)
      times.add(due.at)
    }
    assert.ok(times.size >= 19)
  })
})
