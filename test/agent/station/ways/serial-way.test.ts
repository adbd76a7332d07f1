import assert from 'node:assert/strict'
import test from 'node:test'
import { Identity } from '#agent/io/identity.ts'
import { ConsoleLogin, type ConsoleUser } from '#agent/station/ways/console-login.ts'
import { openSerialPort } from '#agent/station/ways/serial-port.ts'
import { SerialWay } from '#agent/station/ways/serial-way.ts'
import type { Wire } from '#agent/station/ways/wire.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { AditError, type ErrorCode } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { DeskInMemory } from '#test/agent/station/desk-in-memory.ts'
import { type BoardWish, ConsoleBoard, consoleTimers as timers } from '#test/agent/station/ways/console-board.ts'

async function bench(serial: string): Promise<{ desk: DeskInMemory; way(board: ConsoleBoard, login?: ConsoleUser): SerialWay }> {
  const desk = new DeskInMemory()
  await desk.open(serial, 'serial')
  const way = (board: ConsoleBoard, login?: ConsoleUser): SerialWay =>
    new SerialWay(async () => board.plug(), { suite, timers, terms: desk.terms, ...(login && { login }) })
  return { desk, way }
}

async function checkEnrolled(board: ConsoleBoard, desk: DeskInMemory, serial: string): Promise<void> {
  const identity = await Identity.load(board.folder, { suite, clock: systemClock, log: silentLog })
  assert.equal(identity?.leaf.name, (await desk.record(serial))?.name)
  assert.deepEqual(identity?.record.api, desk.terms.api)
  assert.equal(desk.issued.get(serial)?.length, 1, 'one certificate')
  identity?.close()
}

const refused = (code: ErrorCode, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AditError && error.code === code, String(error))
  assert.match(error.message, text)
  return true
}

test('a board that waits at its console makes its keys and gets its identity', async (t) => {
  const { desk, way } = await bench('unit-1')
  const board = await ConsoleBoard.make(t)
  assert.match(await way(board).deliver(desk, 'unit-1'), /^the board holds certificate [0-9a-f]{64}, whose key it made$/)
  await checkEnrolled(board, desk, 'unit-1')
})

test('where a getty is on the console, the station logs in and starts the program; without a name or password it says so', async (t) => {
  const { desk, way } = await bench('unit-1')
  const wishes: [BoardWish['shell'], ConsoleUser | undefined, RegExp | undefined][] = [
    [{}, undefined, undefined],
    [{ user: 'pi' }, { user: 'pi', password: undefined }, undefined],
    [{ user: 'pi', password: 'fig' }, { user: 'pi', password: 'fig' }, undefined],
    [{ user: 'pi' }, undefined, /it asks who logs in/],
    [{ user: 'pi', password: 'fig' }, { user: 'pi', password: undefined }, /it asks for a password/],
    [{ user: 'pi', password: 'fig' }, { user: 'pi', password: 'plum' }, /again and again/],
  ]
  for (const [n, [shell, login, reason]] of wishes.entries()) {
    const serial = `unit-${n}`
    await desk.open(serial, 'serial')
    const board = await ConsoleBoard.make(t, { shell: shell! })
    const delivery = way(board, login).deliver(desk, serial)
    if (reason) await assert.rejects(delivery, refused('line-lost', reason))
    else {
      await delivery
      await checkEnrolled(board, desk, serial)
    }
  }
})

test('boot messages, echo, and lost and spoilt bytes are in nobody’s way', async (t) => {
  const { desk, way } = await bench('unit-1')
  let random = 42
  const next = (limit: number): number => {
    random = (Math.imul(random, 1103515245) + 12345) & 0x7fff_ffff
    return (random >> 8) % limit
  }
  const spoil = (text: string): string => {
    const fate = next(12)
    if (fate === 0) return text.slice(0, next(text.length))
    if (fate === 1) return `${text}[    5.12] brcmfmac: firmware loaded\r\n`
    if (fate === 2) return `\x00\xff~~${text}`
    return text
  }
  const board = await ConsoleBoard.make(t, { spoil })
  await way(board).deliver(desk, 'unit-1')
  await checkEnrolled(board, desk, 'unit-1')
})

test('a cable pulled after any piece: the same unit goes on where it was, with one key and one certificate', async (t) => {
  const { desk, way } = await bench('whole')
  const whole = await ConsoleBoard.make(t)
  let pieces = 0
  const counted = new SerialWay(
    async () => {
      const wire = whole.plug()
      const onData: Wire['onData'] = (listener) =>
        wire.onData((bytes) => {
          pieces += 1
          listener(bytes)
        })
      return { ...wire, onData }
    },
    { suite, timers, terms: desk.terms },
  )
  await counted.deliver(desk, 'whole')
  assert.ok(pieces > 20, `${pieces} pieces`)
  for (let cut = 0; cut < pieces; cut += 3) {
    const serial = `unit-${cut}`
    await desk.open(serial, 'serial')
    const board = await ConsoleBoard.make(t)
    board.cutAfter = cut
    const first = await way(board)
      .deliver(desk, serial)
      .catch((error) => error)
    // Nobody can tell a cable that is pulled after the last word.
    if (typeof first !== 'string') refused('line-lost', /./)(first)
    board.cutAfter = Number.POSITIVE_INFINITY
    await way(board).deliver(desk, serial)
    await checkEnrolled(board, desk, serial)
    await desk.delivered(serial)
    await way(board).deliver(desk, serial)
    await checkEnrolled(board, desk, serial)
  }
})

test('a cable pulled while the board makes its keys: what it says then is not taken for an answer to the next question', async (t) => {
  const { desk, way } = await bench('unit-1')
  const { folder } = await ConsoleBoard.make(t)
  let [begun, release] = [() => {}, () => {}]
  const making = new Promise<void>((resolve) => {
    begun = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const make = folder.makeKeys.bind(folder)
  folder.makeKeys = async (...words) => {
    begun()
    await released
    return make(...words)
  }
  const board = new ConsoleBoard(folder)
  t.after(() => board.powerOff())
  const first = way(board).deliver(desk, 'unit-1')
  await making
  board.pull()
  await assert.rejects(first, refused('line-lost', /./))
  const again = new SerialWay(
    async () => {
      const wire = board.plug()
      let written = 0
      const write = (text: string): void => {
        wire.write(text)
        written += 1
        // Behind the beginning of the session comes the first question.
        if (written === 2) release()
      }
      return { ...wire, write }
    },
    { suite, timers, terms: desk.terms },
  )
  await again.deliver(desk, 'unit-1')
  await checkEnrolled(board, desk, 'unit-1')
})

test('the wrong board is told by its number, where numbers can be compared', async (t) => {
  const cpus = ['10000000a1b2c3d4', '10000000ffffffff'] as const
  const { desk, way } = await bench(cpus[0])
  const wrong = await ConsoleBoard.make(t, { serial: cpus[1] })
  await assert.rejects(
    way(wrong).deliver(desk, cpus[0]),
    refused('serial-mismatch', /is 10000000ffffffff, and not 10000000a1b2c3d4/),
  )
  assert.equal(desk.issued.size, 0)
  await desk.open('label-1', 'serial')
  await assert.rejects(
    way(await ConsoleBoard.make(t, { serial: 'label-2', said: true })).deliver(desk, 'label-1'),
    refused('serial-mismatch', /is label-2/),
  )
  const scanned = await ConsoleBoard.make(t, { serial: cpus[1] })
  await way(scanned).deliver(desk, 'label-1')
  await checkEnrolled(scanned, desk, 'label-1')
  assert.equal(await way(scanned).serialOf(), cpus[1])
  await assert.rejects(way(await ConsoleBoard.make(t)).serialOf(), refused('not-found', /tells no serial/))
})

test('a board that tells its number is provisioned in the same session: its program would have ended', async (t) => {
  const { desk } = await bench('unit-7')
  const board = await ConsoleBoard.make(t, { serial: 'unit-7', said: true })
  let sessions = 0
  const open = async (): Promise<Wire> => {
    sessions += 1
    return board.plug()
  }
  const way = new SerialWay(open, { suite, timers, terms: desk.terms })
  assert.equal(await way.serialOf(), 'unit-7')
  await way.deliver(desk, 'unit-7')
  await checkEnrolled(board, desk, 'unit-7')
  assert.equal(sessions, 1)
  assert.equal(await way.serialOf(), 'unit-7')
  board.pull()
  await new Promise((resolve) => setImmediate(resolve))
  await way.deliver(desk, 'unit-7')
  assert.equal(sessions, 3, 'a session that was lost meanwhile is begun anew')
  await way.close()
})

test('a board that is somebody already stays it', async (t) => {
  const { desk, way } = await bench('unit-1')
  const board = await ConsoleBoard.make(t)
  await way(board).deliver(desk, 'unit-1')
  const stranger = new DeskInMemory()
  await stranger.open('unit-1', 'serial')
  await assert.rejects(way(board).deliver(stranger, 'unit-1'), refused('serial-mismatch', /has another certificate/))
  await checkEnrolled(board, desk, 'unit-1')
})

test('an identity that does not hold together is refused by the board, and said at the station', async (t) => {
  const { desk, way } = await bench('unit-1')
  const board = await ConsoleBoard.make(t)
  const certify = desk.certify.bind(desk)
  desk.certify = async (serial, request) => ({ ...(await certify(serial, request)), root: new DeskInMemory().rootPem })
  await assert.rejects(way(board).deliver(desk, 'unit-1'), refused('certificate-refused', /The board says: The identity/))
  assert.equal(await board.folder.certificates(), undefined)
})

test('a dead cable is told, and a port that is not there', async (t) => {
  const { desk, way } = await bench('unit-1')
  const dead = await ConsoleBoard.make(t, { shell: {}, spoil: () => '' })
  await assert.rejects(way(dead).deliver(desk, 'unit-1'), refused('line-lost', /No board answers/))
  await assert.rejects(openSerialPort('/dev/ttyUSB-none'), refused('not-found', /There is no serial port/))
})

test('a login reads prompts out of colours and noise, and types nothing into them', () => {
  const login = new ConsoleLogin('start', { user: 'pi', password: 'fig' })
  assert.equal(login.answer(), undefined)
  login.see(Buffer.from('Debian GNU/Linux 12 raspberrypi ttyS0\r\n\r\n'))
  assert.equal(login.answer(), undefined)
  login.see(Buffer.from('raspberrypi login: '))
  assert.equal(login.answer(), 'pi\r')
  assert.equal(login.answer(), undefined, 'once')
  login.see(Buffer.from('pi\r\nPassword: '))
  assert.equal(login.answer(), 'fig\r')
  login.see(Buffer.from('\r\nLast login: Sun Nov 22\r\n\x1b[1;32mpi@board\x1b[0m:\x1b[34m~\x1b[0m $ '))
  assert.equal(login.answer(), 'start\r')
  assert.ok(login.started)
})
