import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker device show` */
export function deviceShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show <name>', 'everything that the registry knows of a device', ['adit-broker device show pi-7']).action(
    async (name: string, options: CommonOptions) => {
      const desk = deskOf(terminal, options)
      const device = await desk.ask<Record<string, unknown>>('device.show', { name })
      desk.print(device, (facts) =>
        Object.entries(facts)
          .map(([key, value]) => `${key.padEnd(13)}${printable(text(value))}\n`)
          .join(''),
      )
    },
  )
}

function text(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (Array.isArray(value)) return value.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(' ') || '-'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
