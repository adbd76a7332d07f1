import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { fastSuite } from '#shared/platform/fast-suite.ts'
import { LinuxLane } from '#shared/platform/linux-engine/linux-lane.ts'
import { isRefusal } from '#shared/platform/linux-engine/native.ts'
import { silentLog } from '#shared/platform/log.ts'
import { backgroundTimers } from '#shared/platform/timers.ts'
import { instant } from '#shared/time/instant.ts'
import { Session } from '#shared/tunnel/session.ts'
import { tai64n } from '#shared/tunnel/tai64n.ts'
import type { WireguardAssociation } from '#shared/tunnel/wireguard-association.ts'
import { WireguardEndpoint } from '#shared/tunnel/wireguard-endpoint.ts'
import { putDataHeader } from '#shared/wire/wireguard-data.ts'

/**
 * A process with a lane and as many sessions as are asked for (`lane-memory-child.ts COUNT`), which says in one line of JSON what
 * it holds: without sessions, with them, and after all of them were released.
 */

/** VmRSS, all threads, bytes. */
export interface LaneMemory {
  /** With a thousand associations and none of the others. */
  readonly empty: number
  /** With as many associations more as were asked for, none of which has had a session yet. */
  readonly associations: number
  /** When all of them have had one, a thousand at a time. */
  readonly lapsed: number
  /** When all of them have one. */
  readonly live: number
  /** When all those have been released together. */
  readonly released: number
}

const AT_ONCE = 1_000
const count = Number(process.argv[2])
const suite = await fastSuite(nativeSuite, silentLog)
const lane = await open()
const own: KeyPair = suite.x25519.generate()
const endpoint = new WireguardEndpoint({
  suite,
  staticKey: own,
  nextTimestamp: () => tai64n(0n),
  ports: { transmit: () => undefined, event: () => undefined },
})

const never = (): void => undefined
lane.start({ datagram: never, heard: never, sent: never, packet: never, fromTun: never, carried: never, settled: never })
const held: Session<WireguardAssociation>[] = []
const associations: WireguardAssociation[] = []

// What the first sessions bring with them once and for all is not of those that are counted.
join(AT_ONCE)
await wave(0)
await end()
const empty = await resident()
join(count)
const idle = await resident()
for (let first = AT_ONCE; first < AT_ONCE + count; first += AT_ONCE) {
  await wave(first)
  await end()
}
const lapsed = await resident()
for (let first = AT_ONCE; first < AT_ONCE + count; first += AT_ONCE) await wave(first)
const live = await resident()
await end()
const said: LaneMemory = { empty, associations: idle, lapsed, live, released: await resident() }
process.stdout.write(`${JSON.stringify(said)}\n`)
await lane.close()

function join(more: number): void {
  for (let i = 0; i < more; i++)
    associations.push(endpoint.addPeer({ publicKey: suite.random(32), endpoint: placeOf(associations.length) }, instant(0)))
}

/** A session for each of so many associations, in which the lane has heard one packet and may speak. */
async function wave(first: number): Promise<void> {
  for (let i = first; i < first + AT_ONCE; i++) begin(associations[i]!, i)
  await taken()
}

function begin(association: WireguardAssociation, i: number): void {
  const [sendKey, receiveKey, salt] = [suite.random(32), suite.random(32), new Uint8Array(4)]
  const agreed = { local: i + 1, remote: i + 1, initiator: true, sendKey, receiveKey }
  const now = systemClock.now()
  const session = new Session(suite, association, { ...agreed, now, begunAt: now, rekeyAt: now })
  const numbers = lane.sessions.install({
    ...{ association, suite: 'noise', local: i + 1, remote: i + 1, algorithm: 'chacha20-poly1305', sendKey, receiveKey },
    ...{ sendSalt: salt, receiveSalt: salt, firstNumber: 0, esn: false, innerMtu: 1_420 },
    ...{ expiresAt: session.expiresAt, otherTraffic: false },
  })
  if (numbers === undefined) throw new Error('the lane does not take the session')
  session.lend(numbers)
  held.push(session)
  lane.sessions.route(association, i + 1, placeOf(i))
  lane.sessions.receive(emptyPacket(i + 1, receiveKey), placeOf(i))
}

/** What an idle peer says: an authenticated packet without content. */
function emptyPacket(receiver: number, key: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(32)
  putDataHeader(datagram, receiver, 0, 0)
  const aead = suite.chacha20poly1305.key(key)
  aead.seal(new Uint8Array(12), undefined, new Uint8Array(0), datagram.subarray(16))
  aead.wipe()
  return datagram
}

/** Every session is gone, its keys too; the associations stay. */
async function end(): Promise<void> {
  for (const session of held.splice(0)) {
    lane.sessions.release(session.local, 'noise')
    session.wipe()
    if (session.local % 1_000 === 0) await taken()
  }
  await taken()
}

/** The lane has read everything so far: it has dropped a packet of nobody's that came last. */
async function taken(): Promise<void> {
  const before = dropped()
  lane.sessions.receive(emptyPacket(0xffff_ffff, new Uint8Array(32)), placeOf(0))
  while (dropped() === before) await wait(1)
}

function dropped(): number {
  return [...lane.counters.entries()].reduce((sum, [, number]) => sum + number, 0)
}

async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await wait(200)
  }
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1_024
}

function placeOf(i: number): { address: string; port: number } {
  return { address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, port: 4_500 }
}

async function open(): Promise<LinuxLane> {
  const size = { sessions: 131_072, flows: 131_072 }
  const bind = { address: '127.0.0.1', port: 0 }
  const opened = await LinuxLane.open({ clock: systemClock, timers: backgroundTimers, log: silentLog, bind, size })
  if (isRefusal(opened)) throw new Error(opened.message)
  return opened
}
