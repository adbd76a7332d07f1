import type { Command } from 'commander'
import { requireHookProgram } from '#broker/enrolment/io/hook-program.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker config check`: ends well, or names the broken line. */
export function configCheck(parent: Command, terminal: Terminal): void {
  verb(parent, 'check', 'read the configuration and name the first broken line', [
    'adit-broker config check --config new.toml',
  ]).action(async (options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const { path, text } = await desk.configFile()
    const { hook } = (await desk.config()).enrolment
    if (hook?.place.startsWith('/')) await requireHookProgram(hook.place)
    const result = { ok: true, file: text === undefined ? null : path }
    desk.print(result, ({ file }) => (file === null ? `no ${path}: the defaults hold\n` : `${file}: good\n`))
  })
}
