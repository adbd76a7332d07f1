import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { findStation } from '#agent/io/find-station.ts'
import { readPin } from '#agent/io/fleet-keeper.ts'
import { Identity } from '#agent/io/identity.ts'
import { isDeliveryPending } from '#agent/io/line-pending.ts'
import { enrolAtLine } from '#agent/io/line-station.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import type { UnitDesk } from '#agent/station/unit-desk.ts'
import { guestsOf, type Line, type LineParts, openLine } from '#agent/station/ways/line.ts'
import { isLanAddress } from '#agent/station/ways/line-admission.ts'
import type { LineIdentity } from '#agent/station/ways/line-terms.ts'
import { lineTokenIn, newLineToken } from '#agent/station/ways/line-token.ts'
import { NetworkWay } from '#agent/station/ways/network-way.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodeClaim, encodeClaim } from '#shared/enrolment/claim.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { systemTimers, type Timers } from '#shared/platform/timers.ts'
import { HttpsClient } from '#shared/platform/tls.ts'
import { type Clock, hours, milliseconds, minutes, seconds, wallTime } from '#shared/time/instant.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'

type Options = NonNullable<LineParts['multicast']>

const ports = { suite, clock: systemClock, log: silentLog }

async function newFolder(t: TestContext): Promise<StateFolder> {
  const path = await mkdtemp(join(tmpdir(), 'adit-line-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return StateFolder.open(path)
}

/** A station at 127.0.0.1, where no board needs to look for it. */
class Station {
  readonly desk = new DeskInMemory()
  readonly way: NetworkWay
  /** Of the token for the boards' image. */
  token = ''

  constructor(t: TestContext, change: Partial<LineParts> & { patienceMs?: number } = {}) {
    const { patienceMs = 60_000, ...parts } = change
    const open = async (desk: Parameters<typeof openLine>[0], guests: Parameters<typeof openLine>[2]): Promise<Line> => {
      const line = await openLine(desk, { ...this.parts(), ...parts }, guests)
      this.token = line.token
      return line
    }
    this.way = new NetworkWay(open, systemTimers, milliseconds(patienceMs))
    t.after(() => this.way.close())
  }

  parts(identity: LineIdentity = this.desk.identity()): LineParts {
    const token = newLineToken({ ttl: hours(1), quota: 1000 }, suite, systemClock)
    return { ...ports, identity, terms: this.desk.terms, token, listen: { host: '127.0.0.1', port: 0 } }
  }

  /** As `adit station provision` does it. */
  async provision(serial: string): Promise<string> {
    await this.desk.open(serial, 'network')
    const evidence = await this.way.deliver(this.desk, serial)
    await this.desk.delivered(serial)
    return evidence
  }

  /** Opens the door, by a unit that never comes. */
  async opened(): Promise<this> {
    await this.desk.open('nobody', 'network')
    this.way.deliver(this.desk, 'nobody').catch(() => {})
    while (this.token === '') await new Promise((resolve) => setImmediate(resolve))
    return this
  }
}

const board = (folder: StateFolder, token: string, serial: string, patience = minutes(1), multicast?: Options): Promise<string> =>
  enrolAtLine({ ...ports, timers: systemTimers, folder, token, serial, patience, ...(multicast && { multicast }) })

const refused = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AditError && error.code === code, String(error))
  assert.match(error.message, text)
  return true
}

test('a board makes its keys, enrols at the station, and is an ordinary enrolled agent', async (t) => {
  const station = await new Station(t).opened()
  const folder = await newFolder(t)
  const [evidence, name] = await Promise.all([station.provision('unit-1'), board(folder, station.token, 'unit-1')])
  assert.match(evidence, /^the board holds certificate [0-9a-f]{64}, whose key it made$/)
  const identity = await Identity.load(folder, ports)
  assert.equal(identity?.leaf.name, name)
  assert.equal(identity?.rootPem, station.desk.rootPem)
  assert.deepEqual(identity?.record.api, station.desk.terms.api)
  assert.deepEqual(identity?.record.addresses, { 'broker.example.com': ['203.0.113.7'] })
  assert.deepEqual(await readPin(folder), station.desk.terms.fleetKey)
  assert.equal(await isDeliveryPending(folder), false)
  await assert.rejects(board(folder, station.token, 'unit-1'), refused('already-enrolled', /enrolled already/))
})

test('fifty boards at once: each its own certificate, once', async (t) => {
  const station = await new Station(t).opened()
  const serials = Array.from({ length: 50 }, (_, n) => `unit-${n}`)
  const folders = await Promise.all(serials.map(() => newFolder(t)))
  await Promise.all(serials.flatMap((serial, n) => [station.provision(serial), board(folders[n]!, station.token, serial)]))
  const names = await Promise.all(folders.map(async (folder) => (await folder.record())?.name))
  assert.equal(new Set(names).size, 50)
  for (const serial of serials) assert.equal(station.desk.issued.get(serial)?.length, 1, serial)
  assert.equal((await station.desk.count()).delivered, 50)
})

test('A-41 a token that leaks is worth nothing: for a serial number that nobody expects, with a wrong secret, too late, beyond the quota', async (t) => {
  const station = await new Station(t).opened()
  const impatient = seconds(0.5)
  const served = refused('forbidden', /does not serve this board now/)
  await assert.rejects(
    newFolder(t).then((folder) => board(folder, station.token, 'unexpected', impatient)),
    served,
  )
  assert.equal(station.desk.issued.size, 0)

  const claim = decodeClaim(station.token, suite)
  const guessed = encodeClaim({ ...claim, secret: new Uint8Array(16) }, suite)
  await assert.rejects(
    newFolder(t).then((folder) => board(folder, guessed, 'nobody', impatient)),
    served,
  )

  const over: Clock = { now: systemClock.now, wall: () => wallTime(systemClock.wall() + hours(2)) }
  const late = await new Station(t, { clock: over }).opened()
  await assert.rejects(
    newFolder(t).then((folder) => board(folder, late.token, 'nobody', impatient)),
    served,
  )

  const one = newLineToken({ ttl: hours(1), quota: 1 }, suite, systemClock)
  const small = await new Station(t, { token: one }).opened()
  await Promise.all([small.provision('first'), newFolder(t).then((folder) => board(folder, small.token, 'first'))])
  const second = small.provision('second').catch(() => {})
  await assert.rejects(
    newFolder(t).then((folder) => board(folder, small.token, 'second', impatient)),
    served,
  )
  await small.way.close()
  await second
})

test('A-41 whoever guesses at the secret is not heard any more, right or wrong', async (t) => {
  const station = await new Station(t).opened()
  const claim = decodeClaim(station.token, suite)
  const trust = { rootFingerprint: claim.ca, station: true as const }
  const https = new HttpsClient({ suite, trust, time: () => wallTime(0) })
  t.after(() => https.close())
  const ask = async (secret: Uint8Array): Promise<number> => {
    const authorization = `Basic ${Buffer.from(`${hex(claim.id)}:${hex(secret)}`).toString('base64')}`
    return (await https.request({ url: `${claim.api[0]}/v1/line/nobody`, headers: { authorization } })).status
  }
  assert.equal(await ask(claim.secret), 404, 'no certificate was asked for yet')
  for (let n = 0; n < 10; n++) assert.equal(await ask(suite.random(16)), 403)
  assert.equal(await ask(claim.secret), 403)
})

test('A-43 a delivered unit is not taken over with another key', async (t) => {
  const station = await new Station(t).opened()
  await Promise.all([station.provision('unit-1'), newFolder(t).then((folder) => board(folder, station.token, 'unit-1'))])
  await assert.rejects(
    newFolder(t).then((folder) => board(folder, station.token, 'unit-1', seconds(0.5))),
    refused('forbidden', /has been delivered/),
  )
  assert.equal(station.desk.issued.get('unit-1')?.length, 1)
})

test('who waits for a board hears at once that its unit was delivered; a board that waits alone goes on asking', async (t) => {
  const station = await new Station(t).opened()
  const provisioned = station.provision('unit-1')
  const certify = station.desk.certify.bind(station.desk)
  let asked = 0
  station.desk.certify = async (serial, request) => {
    asked += 1
    if (asked > 2) return certify(serial, request)
    throw new AditError('unit-delivered', 'The board was delivered before.', 'Replace it.')
  }
  const wish = { ...ports, timers: systemTimers, token: station.token, serial: 'unit-1', patience: minutes(1) }
  const attended = enrolAtLine({ ...wish, folder: await newFolder(t), attended: true })
  await assert.rejects(attended, refused('unit-delivered', /before/))
  assert.equal(asked, 1)
  await Promise.all([provisioned, enrolAtLine({ ...wish, folder: await newFolder(t) })])
  assert.equal(asked, 3)
})

test('power cut between identity and its recording: the board tells again until the ledger has it, and the certificate stays one', async (t) => {
  const station = await new Station(t).opened()
  const folder = await newFolder(t)
  await station.desk.open('unit-1', 'network')
  const delivery = station.way.deliver(station.desk, 'unit-1')
  // The station takes the word and dies before its ledger has it: for the board, no answer.
  const first = board(folder, station.token, 'unit-1', seconds(0.1)).catch((error) => error)
  await delivery
  await station.way.close()
  assert.ok((await first) instanceof AditError)
  assert.equal(await isDeliveryPending(folder), true)
  const name = (await folder.record())?.name

  const claim = decodeClaim(station.token, suite)
  const port = Number(new URL(claim.api[0]!).port)
  const parts = {
    ...station.parts(),
    token: { id: claim.id, secret: claim.secret, until: wallTime(systemClock.wall() + hours(1)), quota: 9 },
  }
  const line = await openLine(
    station.desk,
    { ...parts, listen: { host: '127.0.0.1', port } },
    guestsOf(station.desk, async () => false),
  )
  t.after(() => line.close())
  assert.equal(await board(folder, station.token, 'unit-1'), name)
  assert.equal(await isDeliveryPending(folder), false)
  assert.equal((await station.desk.record('unit-1'))?.step, 'delivered')
  assert.equal(station.desk.issued.get('unit-1')?.length, 1)
})

test('no other than a station of the fleet is told the secret', async (t) => {
  const stranger = await new Station(t, { identity: new DeskInMemory().identity() }).opened()
  const device = new DeskInMemory()
  await device.open('x', 'image')
  const { identityPem, chain } = await device.bundle('x')
  const asStation = await new Station(t, { identity: { keyPem: identityPem, chainPem: chain, rootPem: device.rootPem } }).opened()
  const real = await new Station(t).opened()
  const { ca } = decodeClaim(real.token, suite)
  for (const [other, trusted, code] of [
    [stranger, ca, 'ca-mismatch'],
    [asStation, decodeClaim(asStation.token, suite).ca, 'certificate-refused'],
  ] as const) {
    const token = encodeClaim({ ...decodeClaim(other.token, suite), ca: trusted }, suite)
    await assert.rejects(
      newFolder(t).then((folder) => board(folder, token, 'nobody', seconds(0.5))),
      (error) => error instanceof AditError && error.code === code,
    )
  }
})

test('boards find the station of their token on the LAN, by multicast DNS, whatever others say', async (t) => {
  const multicast: Options = { interface: '127.0.0.1', port: 45_353, bind: '0.0.0.0' }
  const desk = new DeskInMemory()
  const station = new Station(t)
  const { listen: _, ...parts } = station.parts(desk.identity())
  const open = async (): Promise<Line> => {
    const token = newLineToken({ ttl: hours(1), quota: 9 }, suite, systemClock)
    const line = await openLine(
      desk,
      { ...parts, terms: desk.terms, token, listen: { port: 0 }, multicast },
      guestsOf(desk, async (serial) => serial === 'unit-1'),
    )
    t.after(() => line.close())
    return line
  }
  const [line, other] = [await open(), await open()]
  const claim = decodeClaim(line.token, suite)
  assert.match(claim.api[0]!, /^https:\/\/line-7\.local:\d+$/)
  const found = await findStation(claim.id, systemTimers, multicast)
  assert.equal(found?.port, line.port)
  assert.equal((await findStation(decodeClaim(other.token, suite).id, systemTimers, multicast))?.port, other.port)
  assert.equal(await findStation(new Uint8Array(8), systemTimers, multicast), undefined)

  const folder = await newFolder(t)
  // The port of the token is an old one: only who asks the LAN finds the door.
  const moved = encodeClaim({ ...claim, api: ['https://line-7.local:9'], addresses: [] }, suite)
  assert.equal(await board(folder, moved, 'unit-1', minutes(1), multicast), 'pi-1')
  assert.equal((await desk.record('unit-1'))?.step, 'delivered')
  const lost = encodeClaim({ ...claim, id: new Uint8Array(8), addresses: [] }, suite)
  await assert.rejects(
    board(await newFolder(t), lost, 'unit-2', seconds(0.1), multicast),
    refused('station-unreachable', /No station/),
  )
})

test('a board that does not come is a failure of that unit alone', async (t) => {
  const station = new Station(t, { patienceMs: 50 })
  await assert.rejects(station.provision('unit-1'), refused('line-lost', /unit-1 has not come to the line within 0.05 s/))
})

test('a station that ends while it holds a board leaves no timer behind', async () => {
  const waiting = new Set<object>()
  const timers: Timers = {
    setTimer() {
      const timer = { clear: () => void waiting.delete(timer) }
      waiting.add(timer)
      return timer
    },
  }
  const way = new NetworkWay(async () => ({ close: async () => {} }), timers, minutes(1))
  for (const ended of ['onEvent', 'record'] as const) {
    const fail = () => assert.fail('it has ended')
    let awaited = (): void => {}
    const isAwaited = new Promise<void>((resolve) => {
      awaited = resolve
    })
    const desk = { step: awaited, onEvent: () => () => {}, record: async () => undefined }
    const gone = { ...desk, [ended]: ended === 'record' ? async () => fail() : fail }
    const delivery = way.deliver(gone as unknown as UnitDesk, 'unit-1')
    await isAwaited
    const before = waiting.size
    await assert.rejects(way.held('unit-1', 'evidence'), /it has ended/)
    assert.equal(waiting.size, before, ended)
    await way.close()
    await assert.rejects(delivery, refused('line-lost', /unit-1/))
    assert.equal(waiting.size, 0)
  }
})

test('the token of a line stays one for a shift, and a new one comes after', async (t) => {
  const { path } = await newFolder(t)
  let now = Date.UTC(2026, 10, 22)
  const clock = { wall: () => wallTime(now) }
  const wish = { ttl: hours(12), quota: 1000 }
  const token = await lineTokenIn(path, wish, suite, clock)
  now += hours(11)
  assert.deepEqual(await lineTokenIn(path, wish, suite, clock), token)
  now += hours(2)
  assert.notDeepEqual(await lineTokenIn(path, wish, suite, clock), token)
})

test('what is on a LAN', () => {
  for (const here of [
    '192.168.1.7',
    '10.1.1.1',
    '172.31.0.1',
    '::ffff:192.168.0.1',
    'fe80::1%eth0',
    'fd12::1',
    '127.0.0.1',
    '::1',
    '169.254.9.9',
  ])
    assert.ok(isLanAddress(here), here)
  for (const far of ['8.8.8.8', '172.32.0.1', '2001:db8::1', '::ffff:1.1.1.1', '100.64.0.1', '', undefined])
    assert.ok(!isLanAddress(far), far)
})

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
