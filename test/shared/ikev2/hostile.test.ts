import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { GenerationSecrets } from '#shared/ikev2/generation-secrets.ts'
import { IkeSa } from '#shared/ikev2/ike-sa.ts'
import { readInitRequest } from '#shared/ikev2/init-request.ts'
import { notify } from '#shared/ikev2/notify.ts'
import { SkEnvelope } from '#shared/ikev2/sk-envelope.ts'
import { seconds } from '#shared/time/instant.ts'
import { decodeIkeHeader } from '#shared/wire/ike-header.ts'
import { decodeIkeMessage, encodeIkeMessage, type IkeHeaderFields } from '#shared/wire/ike-message.ts'
import { ExchangeType, NotifyType } from '#shared/wire/ike-numbers.ts'
import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'
import { type Parcel, seeded, TwoEnds, type TwoEndsOptions } from './two-ends.ts'
import { assertWorking } from './working.ts'

/** The envelopes of both ends of a town, newest first, taken as they are made: a test that plays a peer with keys seals with them. */
function withEnvelopes<T>(play: (envelopes: SkEnvelope[]) => T): T {
  const made: SkEnvelope[] = []
  const original = SkEnvelope.prototype.seal
  SkEnvelope.prototype.seal = function (...words) {
    if (!made.includes(this)) made.unshift(this)
    return original.apply(this, words)
  }
  try {
    return play(made)
  } finally {
    SkEnvelope.prototype.seal = original
  }
}

/** A request that `from` seals though its machine never would. */
function forged(
  envelope: SkEnvelope,
  like: Parcel,
  messageId: number,
  exchange: number,
  payloads: readonly IkePayload[],
): Parcel {
  const header = { ...decodeIkeHeader(like.datagram), exchange, messageId }
  const [datagram] = envelope.seal(header, payloads)
  return { ...like, datagram: datagram!, exchange, messageId }
}

/** What `a` says first, taken apart, and what `b` makes of a message like it. */
function firstMessage(options: TwoEndsOptions = {}) {
  const town = new TwoEnds(options)
  town.initiate()
  const judge = (header: IkeHeaderFields, payloads: readonly IkePayload[]) =>
    readInitRequest(town.b.context, encodeIkeMessage(header, payloads), town.a.endpoint)
  return { town, judge, ...decodeIkeMessage(town.hold('a').datagram) }
}

describe('repetition', () => {
  test('P-28 a repeated request gets the same bytes again and is executed once', () => {
    const town = new TwoEnds().connect()
    town.a.ike.rekeyChild([...town.a.installed.keys()][0]!, town.now)
    const request = town.hold('a')
    assert.equal(town.deliver(request), 0)
    const answer = town.hold('b')
    const ups = town.b.kinds().filter((kind) => kind === 'child-up').length
    for (let i = 0; i < 5; i++) {
      assert.equal(town.deliver(request), DropReason.Replayed)
      assert.deepEqual(town.hold('b').datagram, answer.datagram)
    }
    assert.equal(town.b.kinds().filter((kind) => kind === 'child-up').length, ups)
    town.deliver(answer)
    assert.equal(town.deliver(answer), DropReason.Replayed, 'an answer is taken once')
    town.settle()
    assertWorking(town)
  })

  test('P-28 a repeated first message gets the same bytes again, from its own place alone', () => {
    const town = new TwoEnds()
    town.initiate()
    const request = town.hold('a')
    town.deliver(request)
    const answer = town.hold('b')
    town.deliver(request)
    assert.deepEqual(town.hold('b').datagram, answer.datagram)
    town.b.ike.receive(request.datagram, { address: '203.0.113.9', port: 4500 }, town.now)
    town.collect()
    assert.equal(town.wire.length, 0, 'P-12')
  })

  test('a request is repeated to the byte, ever more slowly, and faster again once the path lives', () => {
    const town = new TwoEnds({ a: { settings: { patience: undefined } } }).connect()
    town.a.ike.probe(town.now)
    const sent: Parcel[] = []
    town.run(120, (parcel) => {
      sent.push(parcel)
      return true
    })
    assert.ok(sent.length >= 6 && sent.length <= 10, `${sent.length} in two minutes`)
    for (const { datagram } of sent) assert.deepEqual(datagram, sent[0]!.datagram)
    assert.equal(town.a.ike.state, 'established', 'it never gives up')
    assert.ok(town.a.kinds().includes('unanswered'))
    const [spi] = town.a.installed.keys()
    town.a.ike.dataHeard(spi!, town.now)
    town.collect()
    assert.equal(town.wire.length, 1, 'data was heard: it asks at once')
    town.settle()
    assertWorking(town)
  })
})

describe('strangers', () => {
  test('A-28 P-29 nothing unauthenticated ends or changes an association', () => {
    const town = new TwoEnds().connect()
    const { initiatorSpi } = town.a.ike
    const header = { initiatorSpi, responderSpi: town.b.ike.localSpis[0]!, majorVersion: 2, minorVersion: 0, messageId: 2 }
    const dice = seeded(7)
    for (let i = 0; i < 2_000; i++) {
      const type = [
        NotifyType.InvalidIkeSpi,
        NotifyType.AuthenticationFailed,
        NotifyType.NoProposalChosen,
        NotifyType.InvalidSyntax,
      ][i % 4]!
      const exchange = [ExchangeType.IkeSaInit, ExchangeType.IkeAuth, ExchangeType.CreateChildSa, ExchangeType.Informational][
        Math.floor(dice() * 4)
      ]!
      const flags = [0x00, 0x08, 0x20, 0x28][Math.floor(dice() * 4)]!
      const message = encodeIkeMessage({ ...header, exchange, flags, messageId: Math.floor(dice() * 4) }, [
        notify(type),
        { kind: 'delete', protocol: 1, spis: [] },
      ])
      for (const end of [town.a, town.b]) assert.ok(end.ike.receive(message, town.a.endpoint, town.now) < 0)
    }
    town.collect()
    assert.equal(town.wire.length, 0, 'no answer either')
    assertWorking(town)
  })

  test('A-19 every cut and every bent byte of every message is refused without a word', () => {
    const town = new TwoEnds().connect()
    town.a.ike.probe(town.now)
    const { datagram } = town.hold('a')
    for (let length = 0; length < datagram.length; length++)
      assert.ok(town.b.ike.receive(datagram.slice(0, length), town.a.endpoint, town.now) < 0)
    for (let at = 0; at < datagram.length; at++) {
      const bent = datagram.slice()
      bent[at]! ^= 0x41
      assert.ok(town.b.ike.receive(bent, town.a.endpoint, town.now) < 0)
    }
    town.collect()
    assert.equal(town.wire.length, 0)
    assertWorking(town)
  })

  test('A-08 three messages that do not decrypt end a half-open IKE SA, and no established one', () => {
    const town = new TwoEnds()
    town.initiate()
    town.pass('a')
    town.pass('b')
    const auth = town.hold('a')
    const bent = auth.datagram.slice()
    bent[bent.length - 1]! ^= 1
    for (let i = 0; i < 3; i++) town.b.ike.receive(bent, town.a.endpoint, town.now)
    town.collect()
    assert.equal(town.b.closedWhy(), 'refused')

    const other = new TwoEnds().connect()
    other.a.ike.probe(other.now)
    const probe = other.hold('a').datagram.slice()
    probe[probe.length - 1]! ^= 1
    for (let i = 0; i < 100; i++) assert.equal(other.b.ike.receive(probe, other.a.endpoint, other.now), DropReason.Unauthentic)
    assertWorking(other)
  })

  test('A-07 who begins and never proves who it is, is forgotten', () => {
    const town = new TwoEnds()
    town.initiate()
    town.pass('a')
    town.run(31, () => true)
    assert.equal(town.b.closedWhy(), 'dead')
  })

  test('A-15 a public value that is none gets no answer', () => {
    const { town, header, payloads, judge } = firstMessage({ cheap: false })
    const zero = payloads.map((payload) => (payload.kind === 'ke' ? { ...payload, data: new Uint8Array(32) } : payload))
    const verdict = judge(header, zero)
    assert.ok(verdict.kind === 'accepted')
    assert.equal(IkeSa.respond(town.b.context, verdict.request, town.now), undefined)
  })

  test('A-18 first messages with payloads missing or doubled are dropped', () => {
    const { header, payloads, judge } = firstMessage()
    for (const [i, payload] of payloads.entries()) {
      if (payload.kind === 'notify') continue
      const without = payloads.toSpliced(i, 1)
      const twice = payloads.toSpliced(i, 0, payload)
      for (const changed of [without, twice]) assert.equal(judge(header, changed).kind, 'dropped', payload.kind)
    }
  })

  test('a message of a newer version is told so, of an older one dropped', () => {
    const { header, payloads, judge } = firstMessage()
    assert.equal(judge({ ...header, majorVersion: 3 }, payloads).kind, 'answered')
    assert.equal(judge({ ...header, majorVersion: 1 }, payloads).kind, 'dropped')
  })
})

describe('peers with keys', () => {
  test('A-21 before its proof a peer can do nothing but prove itself', () => {
    withEnvelopes((envelopes) => {
      const town = new TwoEnds()
      town.initiate()
      town.pass('a')
      town.pass('b')
      const auth = town.hold('a')
      const [ofA] = envelopes
      for (const exchange of [ExchangeType.CreateChildSa, ExchangeType.Informational]) {
        const early = forged(ofA!, auth, 1, exchange, [{ kind: 'delete', protocol: 1, spis: [] }])
        assert.equal(town.deliver(early), DropReason.UnknownKind)
      }
      assert.equal(town.b.ike.state, 'half-open')
      assert.equal(town.wire.length, 0)
      town.deliver(auth)
      town.settle()
      assertWorking(town)
    })
  })

  test('A-09 requests out of the window are dropped before they cost anything', () => {
    withEnvelopes((envelopes) => {
      const town = new TwoEnds().connect()
      const ofA = envelopes.at(-1)!
      town.a.ike.probe(town.now)
      const next = town.hold('a')
      for (const ahead of [1, 2, 100, 0xffff])
        assert.equal(town.deliver(forged(ofA, next, next.messageId + ahead, ExchangeType.Informational, [])), DropReason.Replayed)
      assert.equal(town.deliver(forged(ofA, next, 0, ExchangeType.Informational, [])), DropReason.Replayed)
      assert.equal(town.wire.length, 0)
      assert.equal(town.deliver(next), 0)
    })
  })

  test('A-10 a rekey flood is told to wait: one in ten seconds, and a second one where IKE and Child SA fall due together', () => {
    const town = new TwoEnds({ b: { settings: { rekeySpacing: seconds(10) } } }).connect()
    const rekey = (): void => {
      town.a.ike.rekeyChild([...town.a.installed.keys()][0]!, town.now)
      town.settle()
    }
    rekey()
    rekey()
    const after = [...town.a.installed.keys()]
    for (let i = 0; i < 20; i++) rekey()
    assert.deepEqual([...town.a.installed.keys()], after)
    town.a.ike.rekeyIke(town.now)
    town.settle()
    assert.equal(town.a.ike.localSpis.length, 1)
    town.run(120)
    assertWorking(town)
    assert.notDeepEqual([...town.a.installed.keys()], after, 'it was done when the time had come')
  })

  test('an initiator that does not believe us says so without a Delete: it is recorded, and nothing of it stays', () => {
    withEnvelopes((envelopes) => {
      const town = new TwoEnds().connect()
      town.a.ike.probe(town.now)
      town.collect()
      const ofA = envelopes.at(-1)!
      const like = town.hold('a')
      const refusal = [notify(NotifyType.AuthenticationFailed)]
      town.deliver(forged(ofA, like, like.messageId, ExchangeType.Informational, refusal))
      assert.equal(town.hold('b').isAnswer, true)
      assert.deepEqual(town.b.failures(), ['auth peer-refused-us'])
      assert.equal(town.b.closedWhy(), 'gone')
    })
  })

  test('P-13 after decryption too: whatever a peer with keys sends, the machine answers or drops, and never throws', () => {
    const dice = seeded(99)
    withEnvelopes((envelopes) => {
      for (let round = 0; round < 300; round++) {
        const town = new TwoEnds({ seed: round }).connect()
        const ofA = envelopes.at(-1)!
        town.a.ike.probe(town.now)
        const like = town.hold('a')
        const exchange = [ExchangeType.IkeAuth, ExchangeType.CreateChildSa, ExchangeType.Informational][Math.floor(dice() * 3)]!
        const [raw] = ofA.seal({ ...decodeIkeHeader(like.datagram), exchange }, junkPayloads(dice))
        town.b.ike.receive(raw!, town.a.endpoint, town.now)
        town.collect()
        envelopes.length = 0
      }
    })
  })

  test('keys are overwritten when an association ends', () => {
    const wiped: GenerationSecrets[] = []
    const original = GenerationSecrets.prototype.wipe
    GenerationSecrets.prototype.wipe = function () {
      wiped.push(this)
      original.call(this)
    }
    try {
      const town = new TwoEnds().connect()
      town.a.ike.rekeyIke(town.now)
      town.settle()
      town.run(30)
      town.a.ike.close(town.now)
      town.settle()
      assert.equal(wiped.length, 4, 'two generations at either end')
      for (const { keys } of wiped)
        for (const key of Object.values(keys)) assert.ok((key as Uint8Array).every((byte) => byte === 0))
    } finally {
      GenerationSecrets.prototype.wipe = original
    }
  })
})

/** Payloads that can be encoded and mean nothing, or something else than they should. */
function junkPayloads(dice: () => number): IkePayload[] {
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length: Math.floor(length) }, () => dice() * 256)
  const number = (limit: number): number => Math.floor(dice() * limit)
  const one = (): IkePayload => {
    const kinds: (() => IkePayload)[] = [
      () => ({
        kind: 'sa',
        proposals: [
          {
            number: 1,
            protocol: 1 + number(3),
            spi: bytes([0, 4, 8][number(3)]!),
            transforms: [{ type: 1 + number(5), id: number(32), keyLength: 256 }],
          },
        ],
      }),
      () => ({ kind: 'ke', group: number(40), data: bytes(1 + number(100)) }),
      () => ({ kind: 'nonce', nonce: bytes(16 + number(100)) }),
      () => notify(number(20), bytes(number(40))),
      () => notify(16_384 + number(60), bytes(number(40))),
      () => ({ kind: 'delete', protocol: 3, spis: [bytes(4), bytes(4)] }),
      () => ({ kind: 'delete', protocol: 1, spis: [] }),
      () => ({ kind: 'ts-i', selectors: [] }),
      () => ({ kind: 'id-i', type: number(13), data: bytes(number(20)) }),
      () => ({ kind: 'auth', method: number(15), data: bytes(number(80)) }),
      () => ({ kind: 'cp', type: 1 + number(4), attributes: [{ type: number(20), value: bytes(number(20)) }] }),
      () => ({ kind: 'cert', encoding: number(14), data: bytes(number(200)) }),
      () => ({ kind: 'unknown', type: 60 + number(60), critical: dice() < 0.3, data: bytes(number(30)) }),
    ]
    return kinds[number(kinds.length)]!()
  }
  return Array.from({ length: number(6) }, one)
}
