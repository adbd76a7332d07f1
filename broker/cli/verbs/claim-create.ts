import { type Command, Option } from 'commander'
import type { Extent } from '#broker/admin/office.ts'
import { AditError } from '#shared/errors.ts'
import { printable } from '#shared/terminal/printable.ts'
import { extentNote } from '../extent-note.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, count, type Desk, deskOf, duration, verb } from '../verb.ts'

interface Options extends CommonOptions {
  role: 'device' | 'operator'
  name?: string
  uses?: number
  ttl?: number
  tag?: string[]
  group?: string[]
  admin?: boolean
  approve?: boolean
  serial?: string[]
  serials?: string
  rate?: string
  est?: boolean
}

interface Claim {
  claim: string
  id: string
  role: string
  name: string | null
  approval: boolean
  uses: number
  expires: string
  api: readonly string[]
  extent: Extent
}

/** `adit-broker claim create`: a right to enrol, as a token. */
export function claimCreate(parent: Command, terminal: Terminal): void {
  verb(parent, 'create', 'make a claim: a short-lived right to enrol', [
    'adit-broker claim create --name pi-kitchen --tag site:oslo',
    'adit-broker claim create --name pi-### --uses 50 --ttl 7d',
    'adit-broker claim create --role operator --name ann --group field --admin',
    'adit-broker claim create --name pi-### --uses 50 --approve',
    'adit-broker claim create --name pi-### --uses 50 --serials batch.txt --rate 10/m',
    'adit-broker claim create --name plc-1 --est     # for curl -u and pki --est --userpass',
  ])
    .addOption(new Option('--role <role>', 'who may enrol with it').choices(['device', 'operator']).default('device'))
    .option('--name <name>', 'name, or pattern with a counter: pi-{n}, pi-### (default: made from the key)')
    .option('--uses <n>', 'how many may enrol (default: 1)', count)
    .option('--ttl <span>', 'how long it is good: 30m, 24h, 7d (default: 24h)', duration)
    .option('--tag <tag>', 'tag of what enrols; repeatable', collect)
    .option('--group <group>', 'group of the operator; repeatable', collect)
    .option('--admin', 'the operator sees everything')
    .option('--approve', 'each request waits for a person: adit-broker enrolments list')
    .option('--serial <number>', 'only for units that say this serial number, each once; repeatable', collect)
    .option('--serials <file>', 'likewise, from a file with one number a line; - reads standard input')
    .option('--rate <pace>', 'how many may enrol in which time, whoever has the claim: 10/m, 100/h')
    .option('--est', 'print USER:PASSWORD for a stock EST client, in place of the token')
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const {
        role,
        name,
        uses,
        ttl,
        tag: tags = [],
        group: groups = [],
        admin = false,
        approve: approval = false,
        rate,
        est = false,
      } = options
      const serials = await serialsOf(options, desk)
      const claim = await desk.ask<Claim>('claim.create', { role, name, uses, ttl, tags, groups, admin, approval, serials, rate })
      if (est) {
        const { user, password } = await credentialsOf(claim)
        desk.print({ ...claim, est: { user, password } }, () => `${user}:${password}\n`)
      } else desk.print(claim, describe)
      if (!desk.json) terminal.err(hint(claim, est) + extentNote(claim.extent, claim.api[0], est ? estMend : tokenMend))
    })
}

/** The token's id and secret, as HTTP Basic carries them. */
async function credentialsOf({ claim }: Claim): Promise<{ user: string; password: string }> {
  const [{ decodeClaim }, { nativeSuite }, { toHex }] = await Promise.all([
    import('#shared/enrolment/claim.ts'),
    import('#shared/crypto/native.ts'),
    import('#shared/bytes/hex.ts'),
  ])
  const { id, secret } = decodeClaim(claim, nativeSuite)
  return { user: toHex(id), password: toHex(secret) }
}

/** The token alone on standard output, so that it can be piped. */
const describe = ({ claim }: Claim): string => `${claim}\n`

/** Undefined: for any unit. */
async function serialsOf({ serial, serials: file }: Options, desk: Desk): Promise<string[] | undefined> {
  if (file === undefined) return serial
  const text = file === '-' ? await desk.readInput() : await readText(file)
  return [...(serial ?? []), ...text.split('\n').map((line) => line.trim())].filter(
    (line) => line !== '' && !line.startsWith('#'),
  )
}

async function readText(path: string): Promise<string> {
  const { readFile } = await import('node:fs/promises')
  return readFile(path, 'utf8').catch((cause) => {
    throw new AditError('usage', `${path} cannot be read.`, 'Name a text file with one serial number a line.', { cause })
  })
}

const tokenMend = 'set public-api in config.toml, restart the broker, and make another claim.'
const estMend = 'set public-api in config.toml and restart the broker; user and password stay as they are.'

const hint = ({ role, uses, expires, name, approval, api }: Claim, est: boolean): string =>
  `${printable(
    `For ${uses === 1 ? `one ${role}` : `${uses} ${role}s`}${name === null ? '' : ` (${name})`}, until ${expires}. ` +
      `${approval ? 'Each request waits for you: adit-broker enrolments list. ' : ''}` +
      (est
        ? `The EST server is ${api[0]}/.well-known/est; its CA: adit-broker ca show`
        : `Use it with: ${role === 'device' ? 'adit-agent enrol --claim TOKEN' : 'adit login --claim TOKEN'}`),
  )}\n`
