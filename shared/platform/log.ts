import { destination, type Logger, pino } from 'pino'

/** Levels by who must act: error, a person now; warn, a person some day; info, nobody; debug and trace, whoever looks for a fault. */
export const logLevels = ['error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** What the shells log to; fields first, then the sentence: `log.info({ device }, 'enrolled')`. */
export type Log = Pick<Logger, 'error' | 'warn' | 'info' | 'debug' | 'trace'>

/**
 * Logs to standard error as JSON lines, written synchronously so that a crash loses none. JSON escapes control characters, so a
 * stranger's bytes cannot write on a terminal.
 */
export function createLog(level: LogLevel, program: string): Log {
  return pino(
    { level, base: { program }, redact: ['secret', 'privateKey', 'psk', 'claim', 'token'] },
    destination({ fd: 2, sync: true }),
  )
}

/** For tests and for commands that end at once. */
export const silentLog: Log = pino({ level: 'silent' })
