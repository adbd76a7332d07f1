import { homedir } from 'node:os'
import { isAbsolute, resolve } from 'node:path'
import { stateFolderPath } from '#agent/io/state-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { TunnelClient } from '#agent/operator/io/tunnel-client.ts'
import { tunnelSocketOf } from '#agent/operator/io/tunnel-socket.ts'
import { parsePathWish } from '#agent/operator/path-wish.ts'
import type { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { printable } from '#shared/terminal/printable.ts'

interface GlobalOptions {
  state?: string | undefined
  json?: boolean | undefined
  path?: string | undefined
}

/** The verbs' surroundings in the real machine. Nothing is opened before a verb asks for it. */
export function operatorContext({ state, json = false, path: wish }: GlobalOptions): OperatorContext {
  const folder = absolute(stateFolderPath(state, 'adit'))
  const script = process.argv[1]
  const program = [process.execPath, ...process.execArgv, ...(script === undefined ? [] : [script])]
  return {
    stateFolder: folder,
    json,
    path: wish === undefined ? undefined : parsePathWish(wish),
    program,
    clock: systemClock,
    async api() {
      const { openOperator } = await import('#agent/operator/io/operator-identity.ts')
      const { OperatorApi } = await import('#agent/operator/operator-api.ts')
      const operator = await openOperator(folder)
      return new OperatorApi(operator.https(), operator.record.api)
    },
    tunnel() {
      const { path } = tunnelSocketOf(folder)
      return new TunnelClient({ stateFolder: folder, socketPath: path, program })
    },
    async diagnose(broker) {
      const { diagnoseOperator } = await import('#agent/operator/io/diagnose-operator.ts')
      return diagnoseOperator(folder, this.tunnel(), broker)
    },
    pause: (ms) => new Promise((done) => setTimeout(done, ms)),
    note: (text) => void process.stderr.write(`${printable(text)}\n`),
    complain: (error) => printError(error, json),
    write: (text) => new Promise((done, fail) => process.stdout.write(text, (error) => (error ? fail(error) : done()))),
  }
}

/** One sentence, its mend and its code on standard error; with `--json` one JSON line. */
export function printError(error: AditError, json: boolean): void {
  process.stderr.write(
    json ? `${JSON.stringify(error)}\n` : `adit: ${printable(error.message)} ${printable(error.mend)} (${error.code})\n`,
  )
}

const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(path.replace(/^~(?=\/|$)/, homedir())))
