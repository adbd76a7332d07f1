import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { Command, CommanderError, Option } from 'commander'
import { AditError, toAditError } from '#shared/errors.ts'
import { createLog, type LogLevel, logLevels } from '#shared/platform/log.ts'
import { version } from '#shared/platform/version.ts'
import { usageError } from '#shared/terminal/usage-error.ts'
import { parseDuration } from '#shared/time/duration-text.ts'
import { Fleet, type FleetEvent } from '#sim/fleet.ts'
import { type NatKind, natKinds } from '#sim/nat-box.ts'

interface FleetFlags {
  devices: string
  claim: string
  nat: NatKind
  mappingTimeout: string
  loss: string
  delay: string
  jitter: string
  seed: string
  clock: 'true' | '1970'
  readingInterval: string
  authorizedKeys?: string
  fault?: 'nat' | 'sshd'
  json?: boolean
  log: LogLevel
}

const program = new Command('adit-sim')
  .description('simulated Pi-class devices that run the real agent core')
  .version(version)
  .exitOverride()
  .configureOutput({ writeErr: () => {} })

program
  .command('fleet')
  .description('run N devices behind NAT boxes against a broker until stopped')
  .requiredOption('--devices <n>', 'how many')
  .requiredOption('--claim <token>', 'a device claim with that many uses; "-" reads it from standard input')
  .addOption(
    new Option('--nat <kind>', 'what the sites are behind (RFC 4787)').choices(Object.keys(natKinds)).default('port-restricted'),
  )
  .option('--mapping-timeout <duration>', 'lifetime of a NAT mapping', '120s')
  .option('--loss <fraction>', 'probability of losing a datagram, each way', '0')
  .option('--delay <duration>', 'one-way delay', '0s')
  .option('--jitter <duration>', 'random extra delay; reorders', '0s')
  .option('--seed <n>', 'one seed gives one history of links and sensors', '1')
  .addOption(new Option('--clock <start>', 'the wall clock of the boards').choices(['true', '1970']).default('true'))
  .option('--reading-interval <duration>', 'between two samples of every sensor; 0s takes none', '10s')
  .option('--authorized-keys <file>', 'OpenSSH public keys that may log in to the boards')
  .addOption(new Option('--fault <part>', 'break one part on purpose').choices(['nat', 'sshd']))
  .option('--json', 'events as JSON lines on standard output')
  .addOption(new Option('--log <level>', 'what goes to standard error').choices(logLevels).default('warn'))
  .addHelpText(
    'after',
    '\nExample:\n  adit-broker claim create --role device --name "pi-{n}" --uses 10 | adit-sim fleet --devices 10 --claim -',
  )
  .action(runFleet)

async function runFleet(flags: FleetFlags): Promise<void> {
  const say = flags.json ? sayJson : sayText
  const fleet = new Fleet({
    devices: wholeNumber(flags.devices, '--devices', 1, 50_000),
    claim: (flags.claim === '-' ? await text(process.stdin) : flags.claim).trim(),
    nat: flags.nat,
    mappingTimeout: parseDuration(flags.mappingTimeout, '--mapping-timeout'),
    link: {
      loss: fraction(flags.loss, '--loss'),
      delay: parseDuration(flags.delay, '--delay'),
      jitter: parseDuration(flags.jitter, '--jitter'),
      duplication: 0,
    },
    seed: wholeNumber(flags.seed, '--seed', 0, 2 ** 32 - 1),
    withoutBattery: flags.clock === '1970',
    readingInterval: parseDuration(flags.readingInterval, '--reading-interval') || undefined,
    authorizedKeys: flags.authorizedKeys === undefined ? [] : publicKeys(flags.authorizedKeys),
    fault: flags.fault,
    log: createLog(flags.log, 'adit-sim'),
    onEvent: say,
  })
  const stop = (): void => void fleet.stop().then(() => process.exit(0))
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  await fleet.start().catch(async (error) => {
    await fleet.stop()
    throw error
  })
}

const sayJson = (event: FleetEvent): void => void process.stdout.write(`${JSON.stringify(event)}\n`)

function sayText(event: FleetEvent): void {
  const { event: kind, ...fields } = event
  const who = 'name' in fields ? fields.name : `board ${fields.index}`
  const rest = Object.entries(fields).filter(([field]) => field !== 'name' && field !== 'index')
  process.stdout.write(
    `${who.padEnd(16)} ${kind.padEnd(11)} ${rest.map(([field, value]) => `${field} ${String(value)}`).join('  ')}\n`,
  )
}

function wholeNumber(text: string, what: string, least: number, most: number): number {
  const number = Number(text)
  if (Number.isInteger(number) && number >= least && number <= most) return number
  throw new AditError('usage', `${what} is no whole number from ${least} to ${most}.`, `Write it in digits, as in ${what} 10.`)
}

function fraction(text: string, what: string): number {
  const number = Number(text)
  if (number >= 0 && number <= 1) return number
  throw new AditError('usage', `${what} is no fraction from 0 to 1.`, `Write it as in ${what} 0.05 for 5 %.`)
}

function publicKeys(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'))
  } catch (cause) {
    throw new AditError(
      'not-found',
      `The file of --authorized-keys cannot be read: ${path}.`,
      'Name a file of OpenSSH public keys.',
      { cause },
    )
  }
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exit(0)
    fail(usageError(error, program, process.argv.slice(2)))
  }
  fail(toAditError(error))
}

function fail(error: AditError): never {
  const { error: code, message, mend } = error.toJSON()
  const line = process.argv.includes('--json') ? JSON.stringify(error) : `adit-sim: ${message} ${mend} (${code})`
  process.stderr.write(`${line}\n`)
  process.exit(error.exitStatus)
}
