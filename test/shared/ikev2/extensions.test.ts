import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { type AcceptedInit, plainReply, readInitRequest } from '#shared/ikev2/init-request.ts'
import { notify } from '#shared/ikev2/notify.ts'
import type { IkeOwner } from '#shared/ikev2/peer-policy.ts'
import { seconds } from '#shared/time/instant.ts'
import { NotifyType } from '#shared/wire/ike-numbers.ts'
import { type EndOptions, TwoEnds } from './two-ends.ts'
import { assertWorking } from './working.ts'

describe('MOBIKE (RFC 4555)', () => {
  const elsewhere = { address: '203.0.113.77', port: 61_000 }

  test('the peer is followed once it has shown that it receives at its new address', () => {
    const town = new TwoEnds().connect()
    town.a.ike.move(town.now)
    const update = town.hold('a')
    assert.equal(town.b.ike.receive(update.datagram, elsewhere, town.now), 0)
    const sent: { to: unknown; datagram: Uint8Array }[] = []
    for (let output = town.b.ike.poll(); output !== undefined; output = town.b.ike.poll())
      if (output.kind === 'send') sent.push({ to: output.to, datagram: output.datagram })
    assert.deepEqual(
      sent.map(({ to }) => to),
      [elsewhere, elsewhere],
      'the answer, and the question at the new address',
    )
    assert.ok(!town.b.kinds().includes('moved'))
    for (const { datagram } of sent) town.a.ike.receive(datagram, town.b.endpoint, town.now)
    const echo = town.hold('a')
    town.b.ike.receive(echo.datagram, elsewhere, town.now)
    town.collect()
    const moved = town.b.said.find((output) => output.kind === 'moved')
    assert.ok(moved?.kind === 'moved')
    assert.deepEqual(moved.to, elsewhere)
    assertWorking(town)
  })

  test('what waits for an answer goes out again at once from the new address', () => {
    const town = new TwoEnds().connect()
    town.a.ike.probe(town.now)
    const probe = town.hold('a')
    town.a.ike.move(town.now)
    assert.deepEqual(town.hold('a').datagram, probe.datagram)
    assert.equal(town.wire.length, 0, 'the window is one')
    town.deliver(probe)
    town.settle()
    assert.ok(town.b.kinds().includes('moved'))
  })

  test('who did not begin the association moves nobody', () => {
    const town = new TwoEnds().connect()
    town.b.ike.move(town.now)
    town.collect()
    assert.equal(town.wire.length, 0)
  })

  test('after a rekey of the IKE SA the same end may move', () => {
    const town = new TwoEnds().connect()
    town.b.ike.rekeyIke(town.now)
    town.settle()
    town.a.ike.move(town.now)
    town.settle()
    assert.ok(town.b.kinds().includes('moved'))
  })
})

describe('REDIRECT (RFC 5685)', () => {
  /** What a gateway of another maker answers that drains: a host name, and the nonce of the first message. */
  const sentAway = ({ header, nonce }: AcceptedInit): Uint8Array => {
    const name = Buffer.from('gate.example')
    return plainReply(header, notify(NotifyType.Redirect, Buffer.concat([Uint8Array.of(3, name.length), name, nonce])))
  }

  for (const to of ['192.0.2.200', '2001:db8::7', 'gate.example'])
    test(`an established peer is sent to ${to}`, () => {
      const town = new TwoEnds().connect()
      assert.equal(town.b.ike.redirect(to, town.now), true)
      town.settle()
      const said = town.a.said.find((output) => output.kind === 'redirected')
      assert.ok(said?.kind === 'redirected')
      assert.equal(said.to, to)
      assertWorking(town)
    })

  test('only who began can be sent away', () => {
    const town = new TwoEnds().connect()
    assert.equal(town.a.ike.redirect('gate.example', town.now), false)
  })

  test('a draining gateway answers the first message with another address, and keeps nothing', () => {
    const town = new TwoEnds()
    town.initiate()
    const first = town.hold('a')
    const verdict = readInitRequest(town.b.context, first.datagram, town.a.endpoint)
    assert.ok(verdict.kind === 'accepted')
    const reply = sentAway(verdict.request)
    assert.ok(reply.length <= first.datagram.length)
    town.deliver({ ...first, from: 'b', datagram: reply })
    assert.deepEqual(town.a.kinds(), ['redirected'])
    assert.equal(town.a.ike.state, 'initiating', 'the owner decides')
  })

  test('the nonce of the first message must come back', () => {
    const town = new TwoEnds()
    town.initiate()
    const other = new TwoEnds({ seed: 9 })
    other.initiate()
    const first = town.hold('a')
    const verdict = readInitRequest(other.b.context, other.hold('a').datagram, other.a.endpoint)
    assert.ok(verdict.kind === 'accepted')
    const request = { ...verdict.request, header: { ...verdict.request.header, initiatorSpi: town.a.ike.initiatorSpi } }
    town.deliver({ ...first, from: 'b', datagram: sentAway(request) })
    assert.deepEqual(town.a.kinds(), [])
  })
})

describe('postquantum pre-shared keys (RFC 8784)', () => {
  const key = nativeSuite.random(32)
  const id = Uint8Array.from(Buffer.from('ppk-7'))
  const knows = (given: Uint8Array, mandatory = false): EndOptions => {
    const ppk: IkeOwner['ppk'] = ({ data }) => (mandatory || Buffer.from(data).equals(id) ? { key: given, mandatory } : undefined)
    return { owner: { ppk } }
  }

  test('both have it: keys rest on it, Child SAs work', () => {
    const town = new TwoEnds({ b: knows(key), initiation: { ppk: { id, key, mandatory: true } } }).connect()
    assertWorking(town)
    town.b.ike.rekeyIke(town.now)
    town.settle()
    town.run(70)
    assertWorking(town)
  })

  test('the responder has none: without, where that is allowed', () => {
    assertWorking(new TwoEnds({ initiation: { ppk: { id, key, mandatory: false } } }).connect())
    const town = new TwoEnds({ initiation: { ppk: { id, key, mandatory: true } } }).connect()
    assert.deepEqual(town.b.failures(), ['auth psk-mismatch'])
    assert.equal(town.a.closedWhy(), 'refused')
  })

  test('another key under the same name is no key', () => {
    const town = new TwoEnds({ b: knows(nativeSuite.random(32)), initiation: { ppk: { id, key, mandatory: false } } }).connect()
    assert.equal(town.a.closedWhy(), 'refused')
  })

  test('a responder that insists refuses who comes without', () => {
    const town = new TwoEnds({ b: knows(key, true) }).connect()
    assert.deepEqual(town.b.failures(), ['auth psk-mismatch'])
  })
})

describe('signs of life', () => {
  test('silence is asked about, and nothing is asked while data comes', () => {
    const town = new TwoEnds({ a: { settings: { livenessTime: seconds(20) } } }).connect()
    const before = town.a.ike.childSpis[0]!
    let asked = 0
    const count = (): boolean => {
      asked++
      return false
    }
    for (let i = 0; i < 10; i++) {
      town.a.ike.dataHeard(before, town.now)
      town.run(10, count)
    }
    assert.equal(asked, 0)
    town.run(60, count)
    assert.ok(asked >= 4)
    assertWorking(town)
  })

  test('a peer that stays silent is given up after the patience of a gateway', () => {
    const town = new TwoEnds({ b: { settings: { livenessTime: seconds(20), patience: seconds(30) } } }).connect()
    town.run(120, () => true)
    assert.equal(town.b.closedWhy(), 'dead')
    assert.equal(town.b.installed.size, 0)
  })

  test('P-06 a black-out of 13 s harms nothing, and the first data ends it', () => {
    const town = new TwoEnds({ a: { settings: { livenessTime: seconds(2), patience: undefined } } }).connect()
    const begin = town.now
    const dark = (): boolean => town.now < begin + 13_000
    town.run(14, dark)
    town.a.ike.dataHeard(town.a.ike.childSpis[0]!, town.now)
    town.settle()
    assertWorking(town)
  })
})
