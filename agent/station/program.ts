import { type Command, InvalidArgumentError } from 'commander'
import type { StationContext } from '#agent/station/io/station-context.ts'
import { labelOptions } from '#agent/station/labels/label-form.ts'
import { labelVerb } from '#agent/station/labels/label-verb.ts'
import { examplesText } from '#shared/terminal/examples.ts'

/** `adit station …`: the factory line. Code of a verb is loaded when it is called. */
export function stationVerbs(adit: Command): Command {
  const station = adit.command('station').description('provision boards on a factory line')
  const verb = (usage: string, description: string, examples: readonly string[]): Command =>
    station
      .command(usage)
      .description(description)
      .option('--state <dir>', 'state folder of the station (default: ADIT_STATE, else ~/.local/state/adit-station)')
      .option('--json', 'JSON on standard output')
      .addHelpText('after', examplesText(examples))

  verb('init', 'make this machine a station', ['adit station init --claim -', 'adit station init --claim TOKEN --state ./line-1'])
    .requiredOption('--claim <token>', 'the claim of adit-broker station authorize; - reads it from standard input')
    .option('--proxy <url>', 'http://[USER:PASSWORD@]HOST:PORT, or off')
    .action(async (options: { claim: string }, command: Command) =>
      (await import('#agent/station/verbs/init.ts')).init(await contextOf(command), options),
    )
  verb('run', 'hold the line: boards of the LAN, the screen, and the ledger to the broker', [
    'adit station run --page 8080',
    'adit station run --listen 192.168.50.1:8445 --admit --json',
  ])
    .option('--listen <place>', 'ADDR:PORT where boards come (default: every address, 8445)')
    .option('--page <place>', 'PORT or ADDR:PORT of a page for a tablet')
    .option('--bell', 'ring when a unit fails')
    .option('--admit', 'take boards that the ledger does not know yet')
    .option('--planned <n>', 'how many more units this shift is to have', wholeNumber)
    .option('--offline', 'issue by itself, whoever may be reached')
    .action(async (options: object, command: Command) =>
      (await import('#agent/station/verbs/run.ts')).run(await contextOf(command), options),
    )
  ledgerVerbs(verb)
  unitVerbs(verb)
  labelVerb(station, async (command) => {
    const context = await contextOf(command)
    const [opened, { pairingOf }] = await Promise.all([context.open('offline'), import('#agent/station/io/way-parts.ts')])
    const { desk, parts } = opened
    return { desk, book: desk, pairing: pairingOf(parts), json: context.json, write: context.write, close: () => opened.close() }
  })
  return station
}

type AddVerb = (usage: string, description: string, examples: readonly string[]) => Command

function ledgerVerbs(verb: AddVerb): void {
  const load = () => import('#agent/station/verbs/ledger.ts')
  verb('status', 'what this station may issue, and what it has', ['adit station status', 'adit station status --json']).action(
    async (_options, command: Command) => (await load()).status(await contextOf(command)),
  )
  verb('sync', 'tell the broker what became of the units; under a fleet key, vouch for them', ['adit station sync']).action(
    async (_options, command: Command) => (await load()).sync(await contextOf(command)),
  )
  verb('renew', 'ask the broker now for what it may have given this station since: more units, more time, another CA above it', [
    'adit station renew',
    'adit station renew --json',
  ]).action(async (_options, command: Command) => (await load()).renew(await contextOf(command)))
  verb('verify', 'prove the ledger: its chain, its seals, its certificates', ['adit station verify']).action(
    async (_options, command: Command) => (await load()).verify(await contextOf(command)),
  )
  verb('log [unit]', 'what became of each unit', [
    'adit station log',
    'adit station log --failed',
    'adit station log pump-7 --json',
  ])
    .option('--failed', 'those that failed alone')
    .action(async (unit: string | undefined, options: { failed?: boolean }, command: Command) =>
      (await load()).log(await contextOf(command), unit, options),
    )
}

function unitVerbs(verb: AddVerb): void {
  const load = () => import('#agent/station/verbs/units.ts')
  const withWay = (command: Command): Command =>
    labelOptions(
      command
        .option('--into <path>', 'a mounted card, a folder, or an image; {serial} in it stands for the serial number of the unit')
        .option('--network', 'the board comes over the LAN')
        .option('--serial <device>', 'the serial console of the board, /dev/ttyUSB0')
        .option('--listen <place>', 'ADDR:PORT where boards of the LAN come')
        .option('--baud <n>', 'of the serial console', wholeNumber)
        .option('--console-user <name>', 'who logs in at the serial console')
        .option('--offline', 'issue by itself, whoever may be reached'),
    )
  withWay(
    verb('provision [serial]', 'give one board its identity; again for the same board finds what was begun', [
      'adit station provision 10000000a1b2c3d4 --into /media/boot --label label.pdf',
      'adit station provision --serial /dev/ttyUSB0 --printer 192.168.1.40',
    ]),
  )
    .option('--name <name>', 'its name, within the delegation (default: the next)')
    .action(async (serial: string | undefined, options: object, command: Command) =>
      (await load()).provision(await contextOf(command), serial, options),
    )
  withWay(
    verb('batch', 'give many boards their identities; those that fail are listed with their causes', [
      'adit station batch --csv boards.csv --into /srv/images/{serial}',
      "adit station batch --count 500 --serials 'lot7-####' --into /srv/images/{serial}",
      'adit station batch --count 20 --network',
      'adit station batch --retry --into /media/boot',
    ]),
  )
    .option('--csv <file>', 'boards, one a line: SERIAL or SERIAL,NAME; - for standard input')
    .option('--count <n>', 'so many boards', wholeNumber)
    .option('--serials <pattern>', 'their serial numbers, with a counter (default: each board tells its own)')
    .option('--retry', 'every board of the ledger that is not delivered')
    .option('--page <place>', 'PORT or ADDR:PORT of a page for a tablet')
    .action(async (options: object, command: Command) => (await load()).batch(await contextOf(command), options))
  withWay(
    verb('retry [units...]', 'boards that failed, again', [
      'adit station retry --into /media/boot',
      'adit station retry 10000000a1b2c3d4 --into /media/boot',
    ]),
  ).action(async (units: string[], options: object, command: Command) =>
    (await load()).batch(await contextOf(command), { ...options, retry: true }, units),
  )
  verb('scrap <unit>', 'a board that will never be delivered, or no longer works', [
    'adit station scrap pump-7 --reason "dead flash"',
  ])
    .requiredOption('--reason <text>', 'why; it is kept')
    .action(async (unit: string, options: { reason: string }, command: Command) =>
      (await load()).scrap(await contextOf(command), unit, options),
    )
  withWay(
    verb('replace <unit>', 'scrap a board and give another one its place', [
      'adit station replace pump-7 --by 10000000a1b2c3d5 --reason "dead flash" --into /media/boot',
    ]),
  )
    .requiredOption('--by <serial>', 'serial number of the other board')
    .requiredOption('--reason <text>', 'why; it is kept')
    .action(async (unit: string, options: { by: string; reason: string }, command: Command) =>
      (await load()).replace(await contextOf(command), unit, options),
    )
}

const contextOf = async (command: Command): Promise<StationContext> =>
  (await import('#agent/station/io/station-context.ts')).stationContext(command.optsWithGlobals())

function wholeNumber(text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (value < 1) throw new InvalidArgumentError('It is no whole number from 1.')
  return value
}
