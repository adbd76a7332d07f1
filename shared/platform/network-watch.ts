import { type ChildProcess, spawn } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Duration, milliseconds, minutes, seconds } from '#shared/time/instant.ts'

/** Changes come in bursts: an address goes, a route goes, others come. Told once, so long after the last. */
const SETTLES_IN: Duration = milliseconds(300)
/** Without anybody who tells us, the addresses are looked at so often. */
const LOOK_EVERY: Duration = seconds(5)
/** A monitor that ended is started again after this, and given up after so many in a row. */
const RESTART_AFTER: Duration = seconds(10)
const STARTS = 3
/** A monitor that has lived so long counts as sound. */
const SOUND_AFTER: Duration = minutes(1)

/** The monitor ends with its standard input: it outlives no agent, not even one that was killed. */
const boundMonitor = 'exec 3<&0; ip monitor link address route & p=$!; { read -r _ <&3; kill "$p"; } >/dev/null 2>&1 & wait "$p"'

export interface NetworkWatchOptions {
  readonly timers: Timers
  /** Addresses, links or routes of this machine have changed, and have been still for a moment since. */
  onChange(): void
  /** An interface that we have made. What happens to it alone is no news of the network, and told apart. */
  readonly own?: { readonly name: string; onChange(): void }
  /** The program that tells of changes, and its arguments; null: there is none. Default: iproute2's monitor on Linux. */
  readonly monitor?: readonly [string, ...string[]] | null
  /** For tests: a line for each address, the interface first. */
  readonly addresses?: () => string
}

/**
 * Tells when the network of this machine changes: on Linux by `ip monitor`, which listens to netlink and costs nothing while nothing
 * happens; elsewhere, and where it is missing, by a look at the addresses every 5 s. It keeps no process alive.
 */
export class NetworkWatch {
  readonly #options: NetworkWatchOptions
  readonly #monitor: readonly [string, ...string[]] | null
  #child: ChildProcess | undefined
  #starts = 0
  #timer: Timer | undefined
  #settling: Timer | undefined
  #sound: Timer | undefined
  #seen: Seen
  #isOwnAlone = true
  #closed = false

  constructor(options: NetworkWatchOptions) {
    const { monitor = process.platform === 'linux' ? (['sh', '-c', boundMonitor] as const) : null } = options
    this.#options = options
    this.#monitor = monitor
    this.#seen = this.#look()
    this.#start()
  }

  close(): void {
    this.#closed = true
    for (const timer of [this.#timer, this.#settling, this.#sound]) timer?.clear()
    this.#child?.stdin?.destroy()
    this.#child?.kill()
  }

  #start(): void {
    if (this.#closed) return
    if (this.#monitor === null || this.#starts >= STARTS) {
      this.#poll()
      return
    }
    this.#starts++
    const [program, ...args] = this.#monitor
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] })
    this.#child = child
    child.unref()
    for (const stream of [child.stdin, child.stdout]) (stream as typeof stream & { unref?(): void }).unref?.()
    child.stdin.on('error', () => {})
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#told(text))
    this.#sound = this.#options.timers.setTimer(SOUND_AFTER, () => {
      this.#starts = 0
    })
    child.once('error', ({ code }: NodeJS.ErrnoException) => {
      // What is not installed is not tried again: each try costs as much as a fork of all our memory.
      if (code === 'ENOENT') this.#starts = STARTS
      this.#ended(child)
    })
    child.once('exit', () => this.#ended(child))
  }

  #ended(child: ChildProcess): void {
    if (this.#child !== child || this.#closed) return
    this.#child = undefined
    child.stdin?.destroy()
    this.#sound?.clear()
    // What has happened meanwhile nobody has told.
    this.#compare()
    this.#timer = this.#options.timers.setTimer(this.#starts < STARTS ? RESTART_AFTER : LOOK_EVERY, () => this.#start())
  }

  /** Containers come and go, and neighbours are heard: only our addresses, and by which way the world is reached, are news. */
  #told(text: string): void {
    const { own } = this.#options
    const isWay = (line: string): boolean => line.includes('default') && (own === undefined || !isAbout(line, own.name))
    if (text.split('\n').some(isWay)) this.#settle(false)
    else this.#compare()
  }

  #poll(): void {
    this.#timer = this.#options.timers.setTimer(LOOK_EVERY, () => {
      this.#compare()
      this.#poll()
    })
  }

  #compare(): void {
    const { others, own } = this.#look()
    if (others !== this.#seen.others) this.#settle(false)
    else if (own !== this.#seen.own || this.#settling !== undefined) this.#settle(true)
  }

  #settle(isOwnAlone: boolean): void {
    this.#settling?.clear()
    this.#isOwnAlone &&= isOwnAlone
    this.#settling = this.#options.timers.setTimer(SETTLES_IN, () => {
      this.#settling = undefined
      this.#seen = this.#look()
      const { onChange, own } = this.#options
      if (this.#isOwnAlone && own !== undefined) own.onChange()
      else onChange()
      this.#isOwnAlone = true
    })
  }

  #look(): Seen {
    const { addresses = ownAddresses, own } = this.#options
    const lines = addresses().split('\n')
    const isOwn = (line: string): boolean => own !== undefined && line.startsWith(`${own.name} `)
    return { others: lines.filter((line) => !isOwn(line)).join('\n'), own: lines.filter(isOwn).join('\n') }
  }
}

/** Addresses of our own interface, and of all others. */
interface Seen {
  readonly own: string
  readonly others: string
}

/** A route says `default dev adit0 table 7`, a link that has come, gone or changed `3: adit0: <UP> mtu 1400 state UP group default`. */
const isAbout = (line: string, name: string): boolean => line.split(/[\s:@]+/).includes(name)

/** Every address that can lead out, one a line; link-local ones come with every virtual link and lead nowhere. */
function ownAddresses(): string {
  const all = Object.entries(networkInterfaces()).flatMap(([name, list = []]) =>
    list
      .filter(({ internal, address }) => !internal && !address.startsWith('fe80'))
      .map(({ address, netmask }) => `${name} ${address}/${netmask}`),
  )
  return all.sort().join('\n')
}
