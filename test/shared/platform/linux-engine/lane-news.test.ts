import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DropReason } from '#shared/drop-reason.ts'
import { type HeldSession, Moved } from '#shared/platform/linux-engine/held-session.ts'
import { LaneBoard } from '#shared/platform/linux-engine/lane-board.ts'
import type { FromLane } from '#shared/platform/linux-engine/lane-messages.ts'
import { LaneNews } from '#shared/platform/linux-engine/lane-news.ts'

const place = (port: number): Uint8Array => Uint8Array.of(port)

/** As much of a session as news are made of. */
function session(local: number, sends = true): HeldSession {
  const parts = {
    ...{ suite: 'noise', local, heard: new Moved(), sent: new Moved(), heardNewest: 0, heardLast: false, known: false },
    ...{ lastHeard: Number.NEGATIVE_INFINITY, lastSent: Number.NEGATIVE_INFINITY, stirred: false },
    ...{ from: place(local), carriedFrom: undefined, peer: { sends } },
  }
  return parts as unknown as HeldSession
}

function newsOf(): { news: LaneNews; told: FromLane[]; board: LaneBoard } {
  const told: FromLane[] = []
  const board = new LaneBoard({ sessions: 1, flows: 1 })
  const news = new LaneNews(
    board,
    (address) => ({ address: '192.0.2.1', port: address[0]! }),
    (message) => told.push(message),
  )
  return { news, told, board }
}

function hear(news: LaneNews, one: HeldSession, now: number, outer = 96, inner = 60): void {
  one.heardNewest++
  one.heard.add(outer, inner)
  news.note(one, true, now)
}

function speak(news: LaneNews, one: HeldSession, now: number, outer = 96, inner = 60): void {
  one.sent.add(outer, inner)
  news.note(one, false, now)
}

test('the first packet of a session is told of at once, the next ones in sums every tenth of a second', () => {
  const { news, told } = newsOf()
  const one = session(7)
  assert.equal(news.patience(0), -1)
  hear(news, one, 0)
  news.tell(0)
  assert.equal(told.length, 1)
  hear(news, one, 1, 100, 60)
  hear(news, one, 2, 40, 0)
  hear(news, one, 3, 200, 160)
  news.tell(3)
  assert.equal(told.length, 1)
  assert.equal(news.patience(3), 97)
  news.tell(99.5)
  assert.equal(told.length, 1)
  news.tell(100)
  assert.equal(told.length, 2)
  assert.deepEqual(told[1]!.news, [
    {
      ...{ kind: 'heard', suite: 'noise', local: 7, from: { address: '192.0.2.1', port: 7 }, newest: 3 },
      ...{ datagrams: 3, outerBytes: 340, innerPackets: 2, innerBytes: 220, largest: 160 },
    },
  ])
  assert.equal(news.patience(100), -1)
  news.tell(10_000)
  assert.equal(told.length, 2, 'without news nothing is told')
})

test('after a second of silence either way, and while the lane may not send there, it is told at once', () => {
  const { news, told } = newsOf()
  const one = session(7)
  hear(news, one, 0)
  speak(news, one, 0)
  news.tell(0)
  for (const [now, act, isTold] of [
    [50, hear, false],
    [60, speak, false],
    [200, hear, true],
    [1_190, speak, true],
    [1_200, hear, false],
    [1_250, speak, false],
    [2_190, speak, true],
    [2_201, hear, true],
    [2_250, hear, false],
    [3_190, hear, true],
    [3_191, speak, true],
  ] as const) {
    const before = told.length
    act(news, one, now)
    news.tell(now)
    assert.equal(told.length > before, isTold, `at ${now}`)
  }
  const hidden = session(8, false)
  for (const now of [4_000, 4_001, 4_002]) {
    const before = told.length
    hear(news, hidden, now)
    news.tell(now)
    assert.equal(told.length, before + 1)
  }
})

test('of both kinds, what happened last is told last; each session for itself', () => {
  const { news, told } = newsOf()
  const [one, two] = [session(1), session(2)]
  speak(news, one, 0)
  hear(news, one, 0)
  hear(news, two, 0)
  speak(news, two, 0)
  news.tell(0)
  assert.deepEqual(
    told[0]!.news.map(({ kind, local }) => `${kind} ${local}`),
    ['sent 1', 'heard 1', 'heard 2', 'sent 2'],
  )
})

test('what came from the place before is settled before the peer is elsewhere', () => {
  const { news, told } = newsOf()
  const one = session(1)
  hear(news, one, 0)
  news.tell(0)
  hear(news, one, 1)
  news.settle(one)
  one.from = place(9)
  news.hurry()
  hear(news, one, 2)
  news.tell(2)
  assert.deepEqual(
    told[1]!.news.map((item) => [item.kind, 'from' in item && item.from.port, item.datagrams]),
    [
      ['heard', 1, 1],
      ['heard', 9, 1],
    ],
  )
})

test('whoever is forgotten is told of no more; its key block is', () => {
  const { news, told } = newsOf()
  const [one, two] = [session(1), session(2)]
  hear(news, one, 0)
  hear(news, two, 0)
  news.forget(one)
  news.unread(4_096)
  news.tell(0)
  assert.deepEqual(
    told[0]!.news.map(({ local }) => local),
    [2],
  )
  assert.deepEqual(told[0]!.unread, [4_096])
  assert.equal(news.patience(0), -1)
})

test('what goes up goes at once, with its session, and no more than 512 of a kind in a turn', () => {
  const { news, told, board } = newsOf()
  const one = session(5)
  for (let i = 0; i < 600; i++) {
    news.raw(Uint8Array.of(i), { address: '192.0.2.9', port: 9 })
    if (i % 2) news.packet(Uint8Array.of(i), one, { address: '192.0.2.9', port: 9 })
    else news.ownPacket(Uint8Array.of(i))
  }
  news.carried(Uint8Array.of(1), { address: 'websocket/1', port: 0 })
  news.tell(0)
  const [message] = told
  assert.equal(message!.raw.length, 512)
  assert.equal(message!.packets.length, 512)
  const from = { address: '192.0.2.9', port: 9 }
  assert.deepEqual(message!.packets[1]!.session, { suite: 'noise', local: 5, from })
  assert.equal(message!.packets[0]!.session, undefined)
  assert.equal(message!.carried.length, 1)
  assert.equal(board.dropsOf(DropReason.QueueFull), 2 * 88)
  news.raw(Uint8Array.of(1), { address: '192.0.2.9', port: 9 })
  news.tell(0)
  assert.equal(told[1]!.raw.length, 1)
})
