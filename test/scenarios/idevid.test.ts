import assert from 'node:assert/strict'
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet } from '#test/lab/fleet.ts'
import { type Finished, type JsonEvent, Program, run } from '#test/lab/program.ts'
import { clockAt } from '#test/lab/shifted-clock.ts'

/** A maker of boards with its own folder, and boards of it: no broker has a part in that. */
class Maker {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>
  readonly #boards: Program[] = []
  #vouchers = 0

  constructor(t: TestContext) {
    this.folder = mkdtempSync(join(tmpdir(), 'adit-maker-'))
    this.env = { ADIT_STATE: this.folder }
    t.after(async () => {
      await Promise.all(this.#boards.map((board) => board.stop()))
      rmSync(this.folder, { recursive: true })
    })
  }

  async says(...words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await run('adit', ['factory', ...words], { env: this.env })
    assert.equal(status, 0, stderr)
    return stdout
  }

  async anchor(): Promise<string> {
    const file = join(this.folder, 'maker.pem')
    writeFileSync(file, await this.says('trust-anchor'))
    return file
  }

  /** The state folder of a new board. */
  async board(serial: string): Promise<string> {
    const folder = join(this.folder, `board-${serial}`)
    await this.says('idevid', serial, '--into', folder)
    return folder
  }

  /** Switches a board on: `words` after those of every board. */
  powerOn(state: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    const board = Program.start('adit-agent', ['run', '--state', state, '--mqtt', 'off', '--json', ...words], { env })
    this.#boards.push(board)
    return board
  }

  /** A voucher for the owner of that fleet, in a file. */
  async voucher(serial: string, fleet: Fleet, ...more: readonly string[]): Promise<string> {
    const root = join(fleet.folder, 'root.pem')
    writeFileSync(root, await fleet.adminSays('ca', 'show'))
    this.#vouchers += 1
    const file = join(this.folder, `${serial}-${this.#vouchers}.voucher`)
    await this.says('voucher', serial, '--owner', root, '--api', `https://${fleet.api}`, '--out', file, ...more)
    return file
  }
}

async function maker(t: TestContext): Promise<Maker> {
  const made = new Maker(t)
  await made.says('init', '--name', 'acme')
  return made
}

/** Long before the maker's certificates and the owner's begin. */
const in1970 = clockAt(86_400_000)
/** A board's clock that was never set right, the other way. */
const in2099 = clockAt(Date.UTC(2099, 0, 1))

const isEvent = (name: string) => (event: JsonEvent) => event.event === name

test('from the factory to the first power-on, the clock in 1970: the board finds its owner by itself', async (t) => {
  const fleet = await Fleet.start(t)
  const acme = await maker(t)
  const state = await acme.board('SN-0001')
  const board = acme.powerOn(state, ['--broker', `https://${fleet.api}`], in1970)
  await fleet.admin('factory', 'trust', await acme.anchor())
  const voucher = await acme.voucher('SN-0001', fleet)
  await fleet.admin('voucher', 'import', voucher, '--name', 'pump-{n}', '--tag', 'north')
  const enrolled = await board.event(isEvent('enrolled'), 60_000)
  assert.equal(enrolled.name, 'pump-1')
  await board.event(isEvent('up'), 30_000)
  const [listed] = await fleet.admin<JsonEvent[]>('voucher', 'list')
  assert.equal(listed!.state, 'enrolled')
  assert.equal(listed!.device, 'pump-1')
  assert.match(await fleet.adminSays('device', 'show', 'pump-1'), /north/)
  assert.match(await fleet.adminSays('audit'), /voucher\.hand/)
  assert.equal(statSync(join(state, 'voucher.json')).mode & 0o777, 0o600)
})

test('the clock in 2099 decides nothing: the board finds its owner, by a key that it made itself', async (t) => {
  const fleet = await Fleet.start(t)
  const acme = await maker(t)
  const state = join(acme.folder, 'board')
  const asked = await run('adit-agent', ['idevid', 'request', '--serial', 'SN7', '--state', state])
  assert.equal(asked.status, 0, asked.stderr)
  const csr = join(acme.folder, 'csr.pem')
  writeFileSync(csr, asked.stdout)
  const bundle = await acme.says('idevid', 'SN7', '--csr', csr)
  const installed = await run('adit-agent', ['idevid', 'install', '-', '--state', state], { input: bundle })
  assert.equal(installed.status, 0, installed.stderr)
  await fleet.admin('factory', 'trust', await acme.anchor())
  await fleet.admin('voucher', 'import', await acme.voucher('sn7', fleet, '--days', '30'), '--name', 'pump')
  const board = acme.powerOn(state, ['--broker', `https://${fleet.api}`], in2099)
  assert.equal((await board.event(isEvent('enrolled'), 60_000)).name, 'pump')
})

test('a board changes hands by a file on its card; what is replayed or for another board is refused by name', async (t) => {
  const [seller, buyer] = [await Fleet.start(t), await Fleet.start(t)]
  const acme = await maker(t)
  const state = await acme.board('sn1')
  const anchor = await acme.anchor()
  for (const fleet of [seller, buyer]) await fleet.admin('factory', 'trust', anchor)
  const old = await acme.voucher('sn1', seller)
  await seller.admin('voucher', 'import', old, '--name', 'pump')
  const card = join(acme.folder, 'card.voucher')
  copyFileSync(old, card)
  const first = acme.powerOn(state, ['--voucher', card])
  await first.event(isEvent('up'), 60_000)
  await first.stop()

  const ended = async (voucher: string): Promise<Finished> =>
    run('adit-agent', ['enrol', '--voucher', voucher, '--state', state, '--json'])
  const codeOf = async (voucher: string): Promise<string> => {
    const { status, stderr } = await ended(voucher)
    assert.equal(status, 3, stderr)
    return JSON.parse(stderr).error
  }
  assert.equal(await codeOf(await acme.voucher('sn2', buyer)), 'voucher-foreign')
  const stranger = await maker(t)
  assert.equal(await codeOf(await stranger.voucher('sn1', buyer)), 'voucher-foreign')

  const sold = await acme.voucher('sn1', buyer)
  await buyer.admin('voucher', 'import', sold, '--name', 'well')
  copyFileSync(sold, card)
  const second = acme.powerOn(state, ['--voucher', card])
  assert.equal((await second.event(isEvent('enrolled'), 60_000)).name, 'well')
  await second.event(isEvent('up'), 30_000)
  await second.stop()
  assert.equal(await codeOf(old), 'voucher-replayed')
  const shown = await run('adit-agent', ['idevid', 'show', '--state', state, '--json'])
  assert.deepEqual(JSON.parse(shown.stdout).api, [`https://${buyer.api}`])
})

test('F-02 killed at any moment of its first power-on and of its transfer, a board ends as one device of its last owner', async (t) => {
  const [seller, buyer] = [await Fleet.start(t), await Fleet.start(t)]
  const acme = await maker(t)
  const state = await acme.board('sn1')
  const anchor = await acme.anchor()
  const card = join(acme.folder, 'card.voucher')
  for (const [fleet, name] of [
    [seller, 'pump'],
    [buyer, 'well'],
  ] as const) {
    await fleet.admin('factory', 'trust', anchor)
    const voucher = await acme.voucher('sn1', fleet)
    await fleet.admin('voucher', 'import', voucher, '--name', name)
    copyFileSync(voucher, card)
    // The moment of each kill: always further from the start of the program, until it has enrolled before.
    for (let killAfterMs = 300; ; killAfterMs *= 1.4) {
      const program = acme.powerOn(state, ['--voucher', card])
      const enrolled = await Promise.race([program.event(isEvent('up'), 120_000), wait(killAfterMs)])
      await program.stop('SIGKILL')
      if (enrolled !== undefined) break
    }
    const devices = await fleet.admin<JsonEvent[]>('device', 'list')
    assert.deepEqual(
      devices.map((device) => device.name),
      [name],
    )
  }
})
