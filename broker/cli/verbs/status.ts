import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

interface Status {
  running: boolean
  version: string
  listen?: string
  api?: string
  inner: string[]
  devices: number
  devicesUp?: number
  sessions: number
  readings: number
}

/** `adit-broker status` */
export function status(parent: Command, terminal: Terminal): void {
  verb(parent, 'status', 'how the broker of this data folder is', ['adit-broker status', 'adit-broker status --json']).action(
    async (options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      desk.print(await desk.ask<Status>('status', {}), describe)
    },
  )
}

const describe = (s: Status): string =>
  printable(s.running ? `running, version ${s.version}` : `not running, version ${s.version}`) +
  [
    ...(s.listen === undefined ? [] : [`listen    ${s.listen}`]),
    ...(s.api === undefined ? [] : [`api       ${s.api}`]),
    `inner     ${s.inner.join(' ')}`,
    `devices   ${s.devices}${s.devicesUp === undefined ? '' : `, ${s.devicesUp} up`}`,
    `sessions  ${s.sessions}`,
    `readings  ${s.readings}`,
  ]
    .map((line) => `\n${printable(line)}`)
    .join('') +
  '\n'
