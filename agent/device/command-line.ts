import { Command, CommanderError } from 'commander'
import { AditError, toAditError } from '#shared/errors.ts'
import { version } from '#shared/platform/version.ts'

interface CommonOptions {
  state?: string
  json?: boolean
}

export interface EnrolFlags extends CommonOptions {
  claim: string
  proxy?: string
}

export interface DoctorFlags extends CommonOptions {
  broker?: string
  service: string[]
}

export interface FleetPinFlags extends CommonOptions {
  replace?: boolean
}

export interface RunFlags extends CommonOptions {
  claim?: string
  config?: string
  service: string[]
  mqtt?: string
  suite?: string
  proxy?: string
  log?: string
}

/** Runs `adit-agent` with the words after its name, and sets the exit status. Each verb's code is loaded when it is called. */
export async function runDeviceProgram(words: readonly string[]): Promise<void> {
  // `adit-agent status | head` closes our output: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  try {
    await program().parseAsync([...words], { from: 'user' })
  } catch (error) {
    const problem = problemOf(error)
    if (problem === undefined) return
    process.exitCode = problem.exitStatus
    process.stderr.write(
      words.includes('--json')
        ? `${JSON.stringify(problem)}\n`
        : `adit-agent: ${problem.message} ${problem.mend} (${problem.code})\n`,
    )
  }
}

function program(): Command {
  const agent = new Command('adit-agent')
    .description('keep a device in reach of its broker: tunnel, services, readings')
    .version(version)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
  const verb = (name: string, description: string): Command =>
    agent
      .command(name)
      .description(description)
      .option('--state <dir>', 'state folder (or ADIT_STATE)')
      .option('--json', 'JSON lines on standard output')
  verb('enrol', 'turn a claim into an identity')
    .requiredOption('--claim <token>', 'the claim; - reads it from standard input')
    .option('--proxy <url>', proxyHelp)
    .action(async (flags: EnrolFlags) => (await import('./verbs/enrol.ts')).enrolVerb(flags))
  verb('run', 'hold the tunnel, serve the services, send the readings')
    .option('--claim <token>', 'enrol first, where that has not been done; - reads it from standard input')
    .option('--config <file>', 'configuration (default: config.toml in the state folder)')
    .option('--service <name=addr:port>', 'serve a local TCP service to operators; repeatable', collect, [])
    .option('--mqtt <addr:port|off>', 'where local programs publish readings (default: 127.0.0.1:1883)')
    .option('--suite <suite>', 'protocols of the tunnel: noise (default) or esp')
    .option('--proxy <url>', proxyHelp)
    .option('--log <level>', 'error, warn, info, debug, trace or silent')
    .action(async (flags: RunFlags) => (await import('./verbs/run.ts')).runVerb(flags))
  verb('status', 'what the running agent knows of itself').action(async (flags: CommonOptions) =>
    (await import('./verbs/status.ts')).statusVerb(flags),
  )
  verb('doctor', 'what stands between this machine and its broker, worst first; status 0 where nothing is broken')
    .option('--broker <host>', 'look before enrolment: HOST, HOST:PORT of the API, or its URL')
    .option('--service <name=addr:port>', 'look at this local service too; repeatable', collect, [])
    .action(async (flags: DoctorFlags) => (await import('./verbs/doctor.ts')).doctorVerb(flags))
  const fleet = agent.command('fleet').description("the administrator's key, under which this device believes others")
  const fleetVerb = (usage: string, description: string): Command =>
    fleet
      .command(usage)
      .description(description)
      .option('--state <dir>', 'state folder (or ADIT_STATE)')
      .option('--json', 'JSON on standard output')
  fleetVerb('pin <publickey>', 'believe this key and no other, as adit fleet show prints it')
    .option('--replace', 'in place of another one that is lost')
    .action(async (key: string, flags: FleetPinFlags) => (await import('./verbs/fleet.ts')).fleetPinVerb(key, flags))
  fleetVerb('show', 'the key that is pinned here').action(async (flags: CommonOptions) =>
    (await import('./verbs/fleet.ts')).fleetShowVerb(flags),
  )
  return agent
}

const proxyHelp = 'http://[USER:PASSWORD@]HOST:PORT for what is no UDP, or off (default: HTTPS_PROXY and NO_PROXY)'

const collect = (value: string, before: string[]): string[] => [...before, value]

/** What went wrong, as a person should read it; undefined for help that was asked for. */
function problemOf(error: unknown): AditError | undefined {
  if (!(error instanceof CommanderError)) return toAditError(error)
  if (error.exitCode === 0) return undefined
  const why =
    error.message === '(outputHelp)' ? 'A verb is missing' : error.message.replace(/^error: |\.$/g, '').replace(/\s+/g, ' ')
  return new AditError('usage', `${why.charAt(0).toUpperCase()}${why.slice(1)}.`, 'See: adit-agent --help')
}
