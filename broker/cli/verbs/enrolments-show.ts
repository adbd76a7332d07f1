import type { Command } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'

/** What the broker says of a request. */
export interface EnrolmentDocument {
  id: number
  state: 'waiting' | 'approved' | 'denied' | 'enrolled'
  role: string
  name: string | null
  tags: string[]
  serial: string | null
  key: string
  right: string
  from: string
  asked: string
  seen: string
  decided: string | null
  decidedBy: string | null
  reason: string | null
}

/** `adit-broker enrolments show REQUEST` */
export function enrolmentsShow(parent: Command, terminal: Terminal): void {
  verb(parent, 'show <request>', 'show one request, with the fingerprint of its key to compare', [
    'adit-broker enrolments show 17',
    'adit-broker enrolments show 17 --json',
  ]).action(async (request: string, options: CommonOptions) => {
    const desk = deskOf(terminal, options)
    desk.print(await desk.ask<EnrolmentDocument>('enrolments.show', { id: count(request) }), describe)
  })
}

function describe(r: EnrolmentDocument): string {
  const lines: [string, string | null][] = [
    ['request', String(r.id)],
    ['state', r.state],
    ['role', r.role],
    ['name', r.name ?? '(made from its key)'],
    ['tags', r.tags.join(' ') || '-'],
    ['serial', r.serial ?? '-'],
    ['key', r.key],
    ['right', r.right],
    ['from', r.from],
    ['asked', r.asked],
    ['last seen', r.seen],
    ['decided', r.decided && `${r.decided} by ${r.decidedBy}`],
    ['reason', r.reason],
  ]
  return lines
    .filter(([, value]) => value !== null)
    .map(([label, value]) => `${label.padEnd(10)} ${printable(value ?? '')}\n`)
    .join('')
}
