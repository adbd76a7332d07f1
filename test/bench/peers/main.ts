import { execFileSync } from 'node:child_process'
import { cpus, release, totalmem } from 'node:os'
import { type Bed, pairBed, type RelayBed, relayBed } from './bed.ts'
import { assertCarries, mtuOf } from './carries.ts'
import type { Contender, Tunnel } from './contender.ts'
import { pairContenders, relayContenders } from './contenders.ts'
import { Ending } from './ending.ts'
import { pairFigures, relayFigures } from './figures.ts'
import { optionsFrom } from './options.ts'
import { Results } from './results.ts'
import { tableOf } from './table.ts'
import { type Measured, Turns } from './turn.ts'

/**
 * Our tunnels beside those of others, in one run and one bed, in turns: each round starts every contender alone in the bed, sees that the
 * tunnel itself carries the data, measures, and ends it. Needs root; `prepare.sh` installs the packages.
 */

const everything = new Ending()
const say = (line: string): void => void process.stderr.write(`${line}\n`)

const stop = new AbortController()
for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    process.exitCode = status
    stop.abort(new Error(`stopped by ${signal}`))
  })
}

interface Competition<On extends Bed> {
  bed: On
  contenders: readonly Contender<On>[]
  measure(turns: Turns, bed: On, tunnel: Tunnel, measured: Measured): Promise<void>
  results: Results
}

const skipped: { contender: string; why: string }[] = []

/** One contender's turn, alone in the bed. */
async function turn<On extends Bed>(contender: Contender<On>, competition: Competition<On>, turns: Turns): Promise<void> {
  const ending = new Ending()
  const measured: Measured = {}
  try {
    const { bed } = competition
    const tunnel = await contender.start(bed, ending)
    await assertCarries(bed, tunnel)
    say(`  ${contender.name}: ${tunnel.innerA} to ${tunnel.innerB}, MTU ${mtuOf(bed.a, tunnel.deviceA)}`)
    await competition.measure(turns, bed, tunnel, measured)
  } finally {
    // What was measured before something failed is as good as ever.
    competition.results.add(contender.name, measured)
    await ending.end()
  }
}

async function compete<On extends Bed>(competition: Competition<On>, runs: number, seconds: number): Promise<void> {
  const taking = competition.contenders.map((contender) => ({
    contender,
    turns: new Turns(seconds, stop.signal, (what) => say(`    ${contender.name}: ${what}`)),
  }))
  for (let round = 1; round <= runs && taking.length > 0; round++) {
    say(`round ${round} of ${runs}`)
    for (const one of [...taking]) {
      if (stop.signal.aborted) return
      const { name } = one.contender
      try {
        await turn(one.contender, competition, one.turns)
      } catch (error) {
        if (stop.signal.aborted) return
        const why = error instanceof Error ? error.message : String(error)
        say(`  ${name} is left out from here on: ${why}`)
        skipped.push({ contender: name, why: `in round ${round}: ${why}` })
        taking.splice(taking.indexOf(one), 1)
      }
    }
  }
}

/** Those that are wanted and can take part; the others are told. */
function chosen<On extends Bed>(all: readonly Contender<On>[], peers: readonly string[] | undefined): Contender<On>[] {
  return all.filter((contender) => {
    if (peers !== undefined && !peers.includes(contender.name)) return false
    const why = contender.lacks()
    if (why === undefined) return true
    say(`skipped: ${contender.name}: ${why}`)
    skipped.push({ contender: contender.name, why })
    return false
  })
}

const versionOf = (command: string, ...words: string[]): string => {
  try {
    return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n')[0]!
      .trim()
  } catch {
    return 'unknown'
  }
}

const machine = {
  cores: cpus().length,
  cpu: cpus()[0]?.model ?? 'unknown',
  gigabytes: Math.round(totalmem() / 2 ** 30),
  kernel: release(),
  node: process.version,
  wireguardGo: versionOf(process.env.WIREGUARD_GO ?? 'wireguard-go', '--version'),
}

try {
  const names = [...pairContenders, ...relayContenders].map(({ name }) => name)
  const { peers, runs, seconds, json } = optionsFrom(process.argv.slice(2), names)
  const pairs = chosen(pairContenders, peers)
  const relays = chosen(relayContenders, peers)
  const pair: Competition<Bed> = {
    bed: pairBed(everything),
    contenders: pairs,
    measure: (turns, bed, tunnel, measured) => turns.pair(bed, tunnel, measured),
    results: new Results('pair', pairFigures),
  }
  await compete(pair, runs, seconds)
  const relay: Competition<RelayBed> = {
    bed: relayBed(everything),
    contenders: relays,
    measure: (turns, bed, tunnel, measured) => turns.relay(bed, tunnel, measured),
    results: new Results('relay', relayFigures),
  }
  await compete(relay, runs, seconds)
  if (stop.signal.aborted) say('stopped: this is what was measured until then')
  const rows = [...pair.results.rows, ...relay.results.rows]
  if (json) process.stdout.write(`${JSON.stringify({ machine, runs, seconds, rows, skipped }, null, 2)}\n`)
  else {
    const about = `${machine.cores} × ${machine.cpu}, ${machine.gigabytes} GiB, Linux ${machine.kernel}, node ${machine.node}`
    const how = `medians of ${runs}, least .. most, ratio to wireguard-go's median (${machine.wireguardGo}); streams of ${seconds} s`
    process.stdout.write(`machine: ${about}\n${how}\n${tableOf(rows)}\n`)
    for (const { contender, why } of skipped) process.stdout.write(`\nskipped: ${contender}: ${why}`)
    process.stdout.write(`\n${skipped.length} skipped\n`)
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exitCode ??= 2
} finally {
  await everything.end()
}
