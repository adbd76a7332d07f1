import { readdirSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import type { BenchRow } from '#test/bench/row.ts'

/** Runs every figure, or the ones whose file is named, and prints them with the machine and the bar. */

interface Bench {
  name: string
  run(): Promise<BenchRow[]>
}

const notBenches = new Set(['main.ts', 'row.ts'])
const wanted = process.argv.slice(2)
const files = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && !notBenches.has(file) && !/-(child|worker)\.ts$/.test(file))
  .filter((file) => wanted.length === 0 || wanted.includes(file.slice(0, -3)))
  .sort()

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const cpu = cpus()
say(
  `machine: ${cpu.length} × ${cpu[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, node ${process.version}, ${process.platform} ${process.arch}\n`,
)
say(`${'figure'.padEnd(72)} ${'measured'.padStart(16)}  bar`)
for (const file of files) {
  const bench = (await import(join(import.meta.dirname, file))) as Partial<Bench>
  // What several figures share measures nothing itself.
  if (bench.run === undefined) continue
  for (const { figure, value, unit, bar, beside } of await bench.run()) {
    const measured = `${value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)} ${unit}`
    say(`${figure.padEnd(72)} ${measured.padStart(16)}  ${bar ?? ''}${beside ? `  (${beside})` : ''}`.trimEnd())
  }
}
if (files.length === 0) {
  process.stderr.write(`There is no figure named ${wanted.join(' ')}; the files in test/bench name them.\n`)
  process.exitCode = 2
}
process.exit()
