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
  /** Copies of devices that wait for a person. */
  clones?: number
  incarnation: { id: string; epoch: number }
  twins: { id: string; epoch: number; kind: 'later' | 'parallel' | 'former'; toldBy: string; at: string }[]
}

/** `adit-broker status` */
export function status(parent: Command, terminal: Terminal): void {
  verb(parent, 'status', 'how the broker of this data folder is', ['adit-broker status', 'adit-broker status --json'])
    .option('--forget-twins', 'the warnings of other brokers with this CA have been seen to')
    .action(async ({ forgetTwins = false, ...options }: CommonOptions & { forgetTwins?: boolean }) => {
      const desk = deskOf(terminal, options)
      if (forgetTwins) await desk.ask('broker.forget-twins', {})
      desk.print(await desk.ask<Status>('status', {}), describe)
    })
}

const twins = {
  later: 'another broker of this fleet runs, restored from a backup of this one',
  parallel: 'another broker of this fleet runs, restored from the same backup as this one',
  former: 'the broker that this one was restored from runs still',
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
    ...(s.clones ? [`clones    ${s.clones} held apart: adit-broker clones list`] : []),
    ...s.twins.map(
      (twin) =>
        `WARNING   ${twins[twin.kind]}: ${twin.toldBy} met it, ${twin.at}. Stop one of the two, then: status --forget-twins`,
    ),
  ]
    .map((line) => `\n${printable(line)}`)
    .join('') +
  '\n'
