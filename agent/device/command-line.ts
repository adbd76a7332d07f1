import { Command, CommanderError, Option } from 'commander'
import { repeatable } from '#agent/io/repeatable-option.ts'
import { type AditError, toAditError } from '#shared/errors.ts'
import { version } from '#shared/platform/version.ts'
import { examplesText } from '#shared/terminal/examples.ts'
import { printable } from '#shared/terminal/printable.ts'
import { usageError } from '#shared/terminal/usage-error.ts'

interface CommonOptions {
  state?: string
  json?: boolean
}

export interface EnrolFlags extends CommonOptions {
  pkcs11?: string
  claim?: string
  proxy?: string
  line?: string
  console?: boolean
  serial?: string
  voucher?: string
  broker: string[]
}

export interface IdevidFlags extends CommonOptions {
  serial?: string
  pkcs11?: string
}

export interface AdoptFlags extends CommonOptions {
  from?: string
  pkcs11?: string
}

export interface DoctorFlags extends CommonOptions {
  broker?: string
  service: string[]
}

export interface FleetPinFlags extends CommonOptions {
  replace?: boolean
}

export interface RunFlags extends CommonOptions {
  pkcs11?: string
  claim?: string
  line?: string
  voucher?: string
  broker: string[]
  config?: string
  service: string[]
  mqtt?: string
  suite?: string
  proxy?: string
  path?: string
  tun?: string | true
  log?: string
}

/** Runs `adit-agent` with the words after its name, and sets the exit status. Each verb's code is loaded when it is called. */
export async function runDeviceProgram(words: readonly string[]): Promise<void> {
  // `adit-agent status | head` closes our output: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const agent = program()
  try {
    await agent.parseAsync([...words], { from: 'user' })
  } catch (error) {
    const problem = problemOf(error, agent, words)
    if (problem === undefined) return
    process.exitCode = problem.exitStatus
    process.stderr.write(
      words.includes('--json')
        ? `${JSON.stringify(problem)}\n`
        : `${printable(`adit-agent: ${problem.message} ${problem.mend} (${problem.code})`)}\n`,
    )
  }
}

export function program(): Command {
  const agent = new Command('adit-agent')
    .description('keep a device in reach of its broker: tunnel, services, readings')
    .version(version)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
  const verb = (name: string, description: string, examples: readonly string[]): Command =>
    agent
      .command(name)
      .description(description)
      .option('--state <dir>', stateHelp)
      .option('--json', 'JSON lines on standard output')
      .addHelpText('after', examplesText(examples))
  verb('enrol', 'turn a claim into an identity, or get one from a station of a factory line', enrolExamples)
    .option('--claim <token>', 'the claim; - reads it from standard input')
    .option('--line <token>', 'of the station on this LAN; - reads it from standard input, auto from the boot partition')
    .option('--console', 'from the station at the other end of this serial console')
    .option('--serial <number>', 'what the station or the claim knows this board by (default: what the board itself tells)')
    .option('--voucher <file>', 'of a board with an IDevID: the voucher of its maker; - reads it from standard input')
    .addOption(repeatable('--broker <url>', 'of a board with an IDevID: ask this broker for the voucher'))
    .option('--proxy <url>', proxyHelp)
    .option('--pkcs11 <uri>', tokenHelp)
    .action(async (flags: EnrolFlags) => (await import('./verbs/enrol.ts')).enrolVerb(flags))
  verb('adopt', 'take the identity that a station wrote to this card, and erase it there', [
    'adit-agent adopt --from /boot/firmware    # at first power-on the unit adit-agent-adopt.service does it',
  ])
    .option('--from <dir>', 'where the boot partition is mounted (default: /boot/firmware, else /boot)')
    .addOption(new Option('--pkcs11 <uri>', 'refused: what is on a card has its key in a file').hideHelp())
    .action(async (flags: AdoptFlags) => (await import('./verbs/adopt.ts')).adoptVerb(flags))
  verb('run', 'hold the tunnel, serve the services, send the readings', [
    'adit-agent run --service ssh=127.0.0.1:22',
    'adit-agent run --claim - --service ssh=127.0.0.1:22 < claim.txt',
    'adit-agent run --config /etc/adit/agent.toml --tun --log debug',
  ])
    .option('--claim <token>', 'enrol first, where that has not been done; - reads it from standard input')
    .option('--voucher <file>', 'of a board with an IDevID: where the voucher is, or will be')
    .addOption(repeatable('--broker <url>', 'of a board with an IDevID: ask this broker whose it is'))
    .option(
      '--line <token>',
      'wait for the station of this factory line first, where that has not been done; auto: as the image says',
    )
    .option('--pkcs11 <uri>', tokenHelp)
    .option('--config <file>', 'configuration (default: config.toml in the state folder)')
    .addOption(repeatable('--service <name=addr:port>', 'serve a local TCP service to operators'))
    .option('--mqtt <addr:port|off>', 'where local programs publish readings (default: 127.0.0.1:1883)')
    .option('--suite <suite>', 'protocols of the tunnel: noise (default) or esp')
    .option('--proxy <url>', proxyHelp)
    .option('--path <way>', 'how operators reach this device: auto (default), or relay for the broker alone')
    .option('--tun [name]', "give this machine's kernel an interface in the tunnel (default: adit0; root or CAP_NET_ADMIN)")
    .option('--log <level>', 'error, warn, info, debug, trace or silent')
    .action(async (flags: RunFlags) => (await import('./verbs/run.ts')).runVerb(flags))
  verb('status', 'what the running agent knows of itself', ['adit-agent status', 'adit-agent status --json']).action(
    async (flags: CommonOptions) => (await import('./verbs/status.ts')).statusVerb(flags),
  )
  verb('doctor', 'what stands between this machine and its broker, worst first; status 0 where nothing is broken', [
    'adit-agent doctor',
    'adit-agent doctor --broker broker.example.net    # before it is enrolled',
  ])
    .option('--broker <host>', 'look before enrolment: HOST, HOST:PORT of the API, or its URL')
    .addOption(repeatable('--service <name=addr:port>', 'look at this local service too'))
    .action(async (flags: DoctorFlags) => (await import('./verbs/doctor.ts')).doctorVerb(flags))
  idevidVerbs(agent)
  const fleet = agent.command('fleet').description("the administrator's key, under which this device believes others")
  const fleetVerb = (usage: string, description: string, example: string): Command =>
    fleet
      .command(usage)
      .description(description)
      .option('--state <dir>', stateHelp)
      .option('--json', 'JSON on standard output')
      .addHelpText('after', examplesText([example]))
  fleetVerb(
    'pin <publickey>',
    'believe this key and no other, as adit fleet show prints it',
    'adit-agent fleet pin Nx0Wm0mR3o3yQ1mC0i0xk3cW1pYk2mJb9m0xw1b2c3Q=',
  )
    .option('--replace', 'in place of another one that is lost')
    .action(async (key: string, flags: FleetPinFlags) => (await import('./verbs/fleet.ts')).fleetPinVerb(key, flags))
  fleetVerb('show', 'the key that is pinned here', 'adit-agent fleet show').action(async (flags: CommonOptions) =>
    (await import('./verbs/fleet.ts')).fleetShowVerb(flags),
  )
  return agent
}

/** What the maker of a board does on the board itself. */
function idevidVerbs(agent: Command): void {
  const load = () => import('./verbs/idevid.ts')
  const idevid = agent.command('idevid').description('the certificate that a maker gives a board, and that has no end')
  const verb = (usage: string, description: string, example: string): Command =>
    idevid
      .command(usage)
      .description(description)
      .option('--state <dir>', stateHelp)
      .option('--json', 'JSON on standard output')
      .addHelpText('after', examplesText([example]))
  verb(
    'request',
    'make its key here, and print the request for adit factory idevid SERIAL --csr FILE',
    'adit-agent idevid request --serial SN0001 > SN0001.csr',
  )
    .option('--serial <number>', 'what the maker knows this board by (default: what the board itself tells)')
    .option('--pkcs11 <uri>', 'make it in this token, and keep it there (label: adit-idevid, unless the URI names an object)')
    .action(async (flags: IdevidFlags) => (await load()).idevidRequestVerb(flags))
  verb(
    'install <file>',
    'take what adit factory idevid has made; - reads it from standard input',
    'adit-agent idevid install SN0001.pem',
  ).action(async (file: string, flags: IdevidFlags) => (await load()).idevidInstallVerb(file, flags))
  verb('show', 'serial number, maker and owner of this board', 'adit-agent idevid show').action(async (flags: IdevidFlags) =>
    (await load()).idevidShowVerb(flags),
  )
}

const enrolExamples = [
  'adit-agent enrol --claim -                    # a claim from standard input',
  "adit-agent enrol --claim - --pkcs11 'pkcs11:token=adit?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/adit/pin'",
  'adit-agent enrol --line auto                  # on a factory line, as the image says; --pkcs11 as above',
  'adit-agent enrol --console                    # at a serial console, by adit station provision --serial',
  "adit-agent enrol --voucher SN0001.voucher     # a board with an IDevID, by its maker's word",
]

const stateHelp = 'state folder (default: ADIT_STATE, else /var/lib/adit-agent for root, else ~/.local/state/adit-agent)'

const tokenHelp = 'make the identity key in this token, and keep it there: pkcs11:token=LABEL?module-path=FILE&pin-source=FILE'
const proxyHelp = 'http://[USER:PASSWORD@]HOST:PORT for what is no UDP, or off (default: HTTPS_PROXY and NO_PROXY)'

/** What went wrong, as a person should read it; undefined for help that was asked for. */
function problemOf(error: unknown, agent: Command, words: readonly string[]): AditError | undefined {
  if (!(error instanceof CommanderError)) return toAditError(error)
  return error.exitCode === 0 ? undefined : usageError(error, agent, words)
}
