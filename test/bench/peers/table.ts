import type { Row } from './results.ts'

/** The rows as lines for people: one block a figure, one line a contender. */
export function tableOf(rows: readonly Row[]): string {
  const lines: string[] = []
  let figure = ''
  for (const row of rows) {
    if (row.figure !== figure) lines.push('', `${row.figure}, ${row.unit}`)
    figure = row.figure
    const range = `${short(row.min)} .. ${short(row.max)}`
    const ratio = row.ratio === undefined ? '' : `${short(row.ratio)} times`
    const bar = row.bar === undefined ? '' : `bar ${row.bar.text}${verdict(row.bar.met)}`
    const columns = [row.contender.padEnd(20), short(row.median).padStart(9), range.padStart(20), ratio.padStart(14), bar]
    lines.push(`  ${columns.join('  ')}`.trimEnd())
  }
  return lines.join('\n')
}

const verdict = (met: boolean | undefined): string => (met === undefined ? '' : met ? ': met' : ': MISSED')

/** Three digits that count. */
function short(value: number): string {
  if (!Number.isFinite(value)) return 'for ever'
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)))
}
