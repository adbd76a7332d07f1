import { type Command, Option } from 'commander'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, count, deskOf, duration, verb } from '../verb.ts'

interface Options extends CommonOptions {
  role: 'device' | 'operator'
  name?: string
  uses?: number
  ttl?: number
  tag?: string[]
  group?: string[]
  admin?: boolean
}

interface Claim {
  claim: string
  id: string
  role: string
  name: string | null
  uses: number
  expires: string
}

/** `adit-broker claim create`: a right to enrol, as a token. */
export function claimCreate(parent: Command, terminal: Terminal): void {
  verb(parent, 'create', 'make a claim: a short-lived right to enrol', [
    'adit-broker claim create --name pi-kitchen --tag site:oslo',
    'adit-broker claim create --name pi-### --uses 50 --ttl 7d',
    'adit-broker claim create --role operator --name ann --group field --admin',
  ])
    .addOption(new Option('--role <role>', 'who may enrol with it').choices(['device', 'operator']).default('device'))
    .option('--name <name>', 'name, or pattern with a counter: pi-{n}, pi-### (default: made from the key)')
    .option('--uses <n>', 'how many may enrol (default: 1)', count)
    .option('--ttl <span>', 'how long it is good: 30m, 24h, 7d (default: 24h)', duration)
    .option('--tag <tag>', 'tag of what enrols; repeatable', collect)
    .option('--group <group>', 'group of the operator; repeatable', collect)
    .option('--admin', 'the operator sees everything')
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const { role, name, uses, ttl, tag: tags = [], group: groups = [], admin = false } = options
      const claim = await desk.ask<Claim>('claim.create', { role, name, uses, ttl, tags, groups, admin })
      desk.print(claim, describe)
      if (!desk.json) terminal.err(hint(claim))
    })
}

/** The token alone on standard output, so that it can be piped. */
const describe = ({ claim }: Claim): string => `${claim}\n`

const hint = ({ role, uses, expires, name }: Claim): string =>
  `${printable(
    `For ${uses === 1 ? `one ${role}` : `${uses} ${role}s`}${name === null ? '' : ` (${name})`}, until ${expires}. ` +
      `Use it with: ${role === 'device' ? 'adit-agent enrol --claim TOKEN' : 'adit login --claim TOKEN'}`,
  )}\n`
