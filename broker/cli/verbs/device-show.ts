import type { Command } from 'commander'
import type { ChildSaFacts } from '#broker/gateway/esp-facts.ts'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, deskOf, verb } from '../verb.ts'

/** `adit-broker device show` */
export function deviceShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show <name>', 'everything that the registry knows of a device, and how its tunnel stands', [
    'adit-broker device show pi-7',
  ]).action(async (name: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    const device = await desk.ask<Record<string, unknown>>('device.show', { name })
    desk.print(device, (facts) =>
      flat(facts)
        .map(([key, value]) => `${key.padEnd(16)} ${printable(text(value))}\n`)
        .join(''),
    )
  })
}

/** Objects as dotted keys. Of the lists, Child SAs have a line each. */
function flat(facts: Record<string, unknown>, prefix = ''): [key: string, value: unknown][] {
  return Object.entries(facts).flatMap(([key, value]): [string, unknown][] => {
    if (key === 'childSas' && Array.isArray(value) && value.length > 0) {
      return value.map((childSa: ChildSaFacts) => [`${prefix}${key}`, childSaText(childSa)])
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[`${prefix}${key}`, value]]
    return flat(value as Record<string, unknown>, `${prefix}${key}.`)
  })
}

const childSaText = ({ esp, local, remote, ageSeconds, packets, bytes, inboundSpi, outboundSpi }: ChildSaFacts): string =>
  [
    esp,
    `${remote.join(' ')} === ${local.join(' ')}`,
    `${ageSeconds} s old`,
    `${packets} packets`,
    `${bytes} bytes`,
    `SPIs ${inboundSpi} in`,
    `${outboundSpi} out`,
  ].join(', ')

function text(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (Array.isArray(value)) return value.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(' ') || '-'
  return String(value)
}
