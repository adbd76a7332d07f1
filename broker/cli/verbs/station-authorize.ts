import type { Command } from 'commander'
import type { Extent } from '#broker/admin/office.ts'
import { printable } from '#shared/terminal/printable.ts'
import { extentNote } from '../extent-note.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, count, deskOf, duration, verb } from '../verb.ts'

interface Options extends CommonOptions {
  name: string
  names: string
  quota: number
  ttl: number
  claimTtl?: number
  tag?: string[]
}

interface Authorised {
  claim: string
  claimExpires: string
  station: string
  names: string
  first: number
  last: number
  quota: number
  until: string
  api: readonly string[]
  extent: Extent
}

/** `adit-broker station authorize`: a factory line may issue so many certificates of such names, until then. */
export function stationAuthorize(parent: Command, terminal: Terminal): void {
  verb(parent, 'authorize', 'let a factory line issue certificates for boards, within limits; prints its claim', [
    "adit-broker station authorize --name line-1 --names 'pump-{n}' --tag pumps --quota 500 --ttl 30d",
    "adit-broker station authorize --name night --names 'gauge-#####' --quota 20000 --ttl 7d --claim-ttl 1h",
  ])
    .requiredOption('--name <name>', 'name of the station')
    .requiredOption('--names <pattern>', 'names of its units, with a counter: pump-{n}, pump-####')
    .requiredOption('--quota <n>', 'how many certificates', count)
    .requiredOption('--ttl <span>', 'how long it may issue: 8h, 30d', duration)
    .option('--claim-ttl <span>', 'how long the claim is good (default: 24h)', duration)
    .option('--tag <tag>', 'tag of what it makes; repeatable', collect)
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const { name, names, quota, ttl, claimTtl, tag: tags = [] } = options
      const asked = { name, names, quota, ttl, claimTtl, tags }
      const made = await desk.ask<Authorised>('station.authorize', asked)
      desk.print(made, ({ claim }) => `${claim}\n`)
      if (!desk.json) terminal.err(hint(made) + extentNote(made.extent, made.api[0], claimMend(made)))
    })
}

const claimMend = ({ station }: Authorised): string =>
  `set public-api in config.toml, restart the broker, revoke this station (adit-broker station revoke ${station}), and authorize it again.`

const hint = ({ station, names, first, last, quota, until, claimExpires }: Authorised): string =>
  `${printable(
    `Station ${station} may make ${quota} devices ${names}, numbers ${first} to ${last}, until ${until}. ` +
      `There, before ${claimExpires}: adit station init --claim TOKEN`,
  )}\n`
