import { isAbsolute, resolve } from 'node:path'
import { stateFolderPath } from '#agent/io/state-folder.ts'
import { printError } from '#agent/operator/io/operator-context.ts'
import { type OpenOptions, OpenStation } from '#agent/station/io/open-station.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import type { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { createLog } from '#shared/platform/log.ts'
import { printable } from '#shared/terminal/printable.ts'

/** Options that every verb of a station takes. */
export interface StationFlags {
  readonly state?: string
  readonly json?: boolean
  /** By itself, whoever may be reached. */
  readonly offline?: boolean
  readonly proxy?: string
}

/** The surroundings of a station's verbs in the real machine. */
export interface StationContext {
  readonly path: string
  readonly json: boolean
  ports(): Pick<OpenOptions, 'suite' | 'clock' | 'log' | 'proxy'>
  /** Tells in one line by whom certificates are issued, unless `mode` says that none are. Throws AditError `not-enrolled`. */
  open(mode?: OpenOptions['mode']): Promise<OpenStation>
  /** A line for the person, on standard error; nothing for scripts. */
  note(text: string): void
  complain(error: AditError): void
  write(text: string): Promise<void>
  /** One JSON document, or what `human` makes of it. */
  print<Result>(result: Result, human: (result: Result) => string): Promise<void>
}

export function stationContext({ state, json = false, offline = false, proxy }: StationFlags): StationContext {
  const chosen = stateFolderPath(state, 'adit-station')
  const path = isAbsolute(chosen) ? chosen : resolve(chosen)
  const ports = () => ({
    suite: nativeSuite,
    clock: systemClock,
    log: createLog('warn', 'adit'),
    ...(proxy !== undefined && { proxy }),
  })
  const context: StationContext = {
    path,
    json,
    ports,
    async open(mode) {
      const onMode = (now: 'online' | 'offline', why: string): void => context.note(modeLine(now, why))
      const auto = offline ? ('offline' as const) : ('auto' as const)
      const telling = mode === undefined ? { onMode } : {}
      const station = await OpenStation.open({ ...ports(), path, mode: mode ?? auto, ...telling })
      if (mode === undefined && station.desk.online) context.note(modeLine('online', 'the broker answers'))
      return station
    },
    note(text) {
      if (!json) process.stderr.write(`${printable(text)}\n`)
    },
    complain: (error) => printError(error, json),
    write: (text) => new Promise((done, fail) => process.stdout.write(text, (error) => (error ? fail(error) : done()))),
    print: (result, human) => context.write(json ? `${JSON.stringify(result)}\n` : human(result)),
  }
  return context
}

const modeLine = (mode: 'online' | 'offline', why: string): string =>
  mode === 'online'
    ? `online: the broker issues (${why})`
    : `offline: this station issues by itself, and tells the broker at the next sync (${why.replace(/\.$/, '')})`
