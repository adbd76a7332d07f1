import type { Command } from 'commander'
import type { NegotiationDocument } from '#broker/registry/negotiation-document.ts'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, count, deskOf, verb } from '../verb.ts'

/** `adit-broker negotiations`: why IPsec peers do not connect, and what to change at either end. */
export function negotiations(parent: Command, terminal: Terminal): void {
  verb(
    parent,
    'negotiations',
    'why IPsec peers do not connect: failed negotiations of IKE, the newest first, with what to change',
    ['adit-broker negotiations', 'adit-broker negotiations --peer plant-a --limit 1'],
  )
    .option('--peer <name>', 'of this device or operator, as far as it said who it is')
    .option('--limit <n>', 'how many at most, to 1000 (default: 20)', count)
    .action(async (options: CommonOptions & { peer?: string; limit?: number }) => {
      const desk = deskOf(terminal, options)
      const { peer, limit } = options
      const found = await desk.ask<NegotiationDocument[]>('negotiations', { peer, limit })
      desk.print(found, (all) => (all.length === 0 ? 'no negotiation has failed\n' : all.map(describe).join('\n')))
    })
}

/** A paragraph: when, who and why; then what to change. */
function describe(failure: NegotiationDocument): string {
  const { at, peer, claimedId, from, times, stage, code, message, offered, allowed, nearest, mendHere, mendThere } = failure
  const who =
    peer ??
    (claimedId === null ? 'somebody who did not get as far as saying who it is' : `"${claimedId}", which nobody here bears`)
  const rows: [string, string][] = [
    ['peer', `${who}${from === null ? '' : `, from ${from}`}`],
    ['failed', `${code} (${stage}): ${message}`],
    ...(offered.length > 0 ? ([['offered', offered.join(', ')]] as [string, string][]) : []),
    ...(allowed.length > 0 ? ([['allowed', allowed.join(', ')]] as [string, string][]) : []),
    ...(nearest === null
      ? []
      : ([['nearest', `${nearest.offered} to ${nearest.allowed}: ${nearest.differs}`]] as [string, string][])),
    ['here', mendHere],
    ['there', mendThere],
  ]
  const head = `${at}${times > 1 ? `, ${times} times` : ''}`
  return `${head}\n${rows.map(([label, text]) => `  ${label.padEnd(9)}${printable(text)}\n`).join('')}`
}
