import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { adopt } from '#agent/io/adopt.ts'
import { isDeliveryPending } from '#agent/io/line-pending.ts'
import { enrolAtLine } from '#agent/io/line-station.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { certifiedKey } from '#agent/io/take-identity.ts'
import type { Outcome } from '#agent/station/io/provision.ts'
import { ImageWay } from '#agent/station/ways/image-way.ts'
import { SerialWay } from '#agent/station/ways/serial-way.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { bundleFile } from '#shared/enrolment/unit-bundle.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { type Clock, seconds } from '#shared/time/instant.ts'
import { busyTimers, ConsoleBoard } from '#test/agent/station/ways/console-board.ts'
import { formatCard, lookAtCard } from '#test/agent/station/ways/fat-card.ts'
import { Power } from '#test/lab/power.ts'
import { type Fate, spoilt } from '#test/scenarios/line-fates.ts'
import type { Hall } from '#test/scenarios/line-hall.ts'

/** One board, its card and its cable. `folder`: what is its own in the test's. */
export class LineBoard {
  readonly fate: Fate
  readonly folder: string
  readonly #clock: Clock
  #boardCut: number | undefined
  #pulledAfter: number | undefined
  #console: ConsoleBoard | undefined
  /** Of its own misfortunes, since it was last asked. */
  #befell = 0
  #cards = 0

  private constructor(fate: Fate, folder: string, clock: Clock) {
    this.fate = fate
    this.folder = folder
    this.#clock = clock
    this.#boardCut = fate.boardCut
    this.#pulledAfter = fate.pulledAfter
  }

  static async make(fate: Fate, parent: string, wall: Clock): Promise<LineBoard> {
    const folder = join(parent, fate.serial)
    await mkdir(join(folder, 'boot'), { recursive: true })
    const board = new LineBoard(fate, folder, { now: systemClock.now, wall: wall.wall })
    await board.insertCard(fate.card.full)
    return board
  }

  /** The card in the reader. */
  get card(): string {
    return join(this.folder, `card-${this.#cards}.img`)
  }

  /** Whether something of its own has befallen it since this was last asked. */
  befell(): boolean {
    const befell = this.#befell > 0
    this.#befell = 0
    return befell
  }

  async insertCard(full = false): Promise<void> {
    if (this.fate.way !== 'image') return
    const { shape } = this.fate.card
    const cluster = shape.sectorsPerCluster * 512
    // Room for half of a bundle.
    const filler = full ? { 'VIDEO.BIN': Buffer.alloc(shape.clusters * cluster - 2_048) } : {}
    this.#cards += 1
    await writeFile(this.card, formatCard(shape, { 'CONFIG.TXT': Buffer.from('arm_64bit=1\n'), ...filler }))
  }

  /** One try of bringing it its identity, as whoever stands at the line sees it. `serial`: what was typed. */
  async provision(hall: Hall, serial: string, cutAt?: number): Promise<Outcome> {
    const { way } = this.fate
    if (way === 'image') return hall.provision(serial, () => new ImageWay(this.card, { suite, clock: this.#clock }), cutAt)
    if (way === 'serial') return this.#overCable(hall, serial, cutAt)
    const outcome = hall.provision(serial, ({ network }) => network, cutAt)
    const [told] = await Promise.all([outcome, this.#powerOn(await hall.doorToken(), outcome)])
    return told
  }

  /** Whether it is somebody, and its station knows. A board with a card takes from it what is its own. */
  async isWhole(): Promise<boolean> {
    const state = await this.state()
    return (await certifiedKey(state)) !== undefined && !(await isDeliveryPending(state))
  }

  /** Powers it on with the card. */
  async adoptCard(): Promise<void> {
    const look = lookAtCard(await readFile(this.card), this.fate.card.shape)
    const bundle = look.files[bundleFile.toUpperCase()]
    if (bundle) await writeFile(join(this.folder, 'boot', bundleFile), bundle)
    await adopt({ from: join(this.folder, 'boot'), folder: await this.state(), suite, board: this.fate.serial })
  }

  /** Whether there is anybody's bundle on the card. */
  async cardIsUsed(): Promise<boolean> {
    const look = lookAtCard(await readFile(this.card), this.fate.card.shape)
    return bundleFile.toUpperCase() in look.files
  }

  /** Who it is: SHA-256 of its identity key's SPKI, its tunnel key, its credentials. */
  async identity() {
    const state = await this.state()
    const [keys, spki, certificates] = [await state.keys(suite), await certifiedKey(state), await state.certificates()]
    const { name } = (await state.record()) ?? {}
    return {
      name,
      spki: spki && toHex(suite.hash('sha256', spki)),
      tunnelKey: keys && toHex(keys.tunnel.publicKey),
      as: { key: keys?.identityPem ?? '', cert: certificates?.chain ?? '' },
    }
  }

  /** Powered on once more, at a station that runs. */
  finish(token: string): Promise<void> {
    return this.#powerOn(token, Promise.resolve())
  }

  state(): Promise<StateFolder> {
    return StateFolder.open(join(this.folder, 'state'))
  }

  /** Until the station and it have told one another everything; where the station gives up first, until the next try. */
  async #powerOn(token: string, outcome: Promise<unknown>): Promise<void> {
    let ended = 0
    void outcome.then(() => {
      ended = 1
    })
    for (; ended < 4 && !(await this.isWhole()); ended += ended > 0 ? 1 : 0) {
      const ports = { suite, clock: this.#clock, timers: busyTimers, log: silentLog }
      const wish = { token, serial: this.fate.serial, patience: seconds(0) }
      await enrolAtLine({ ...ports, ...wish, folder: this.#disk(await this.state()) }).catch(() => wait(10))
    }
  }

  async #overCable(hall: Hall, serial: string, cutAt?: number): Promise<Outcome> {
    const { garbage } = this.fate
    const spoil = garbage && { spoil: (text: string) => spoilt(text, garbage) }
    const state = await this.state()
    this.#console ??= new ConsoleBoard(
      this.#disk(state, () => {
        this.#console?.powerOff()
        this.#console = undefined
      }),
      { serial: this.fate.serial, said: true, timers: busyTimers, ...spoil },
    )
    const board = this.#console
    board.cutAfter = this.#pulledAfter ?? Number.POSITIVE_INFINITY
    if (this.#pulledAfter !== undefined) this.#befell += 1
    this.#pulledAfter = undefined
    const told = await hall.provision(
      serial,
      ({ parts }) => new SerialWay(async () => board.plug(), { suite, timers: busyTimers, terms: parts.terms }),
      cutAt,
    )
    if (!told.ok) return told
    board.powerOff()
    this.#console = undefined
    return told
  }

  /** Its state folder; the power of the board goes once, where that is its fate. */
  #disk(state: StateFolder, onCut: () => void = () => {}): StateFolder {
    const cutAt = this.#boardCut
    this.#boardCut = undefined
    const power = new Power(() => {
      this.#befell += 1
      onCut()
    })
    return power.wired(state, cutAt)
  }
}
