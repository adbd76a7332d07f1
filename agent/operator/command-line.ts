import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { OperatorContext } from '#agent/operator/context.ts'
import { operatorContext, printError } from '#agent/operator/io/operator-context.ts'
import { AditError, toAditError } from '#shared/errors.ts'

interface GlobalOptions {
  state?: string
  json?: boolean
}

/** Runs `adit` with the words after its name, and sets the exit status. Each verb's code is loaded when it is called. */
export async function runOperator(words: readonly string[]): Promise<void> {
  // `adit … | head` closes our output: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const leading = leadingOptions(words)
  try {
    const passed = passThrough[leading.rest[0] ?? '']
    if (passed !== undefined && !asksForHelp(leading.rest)) {
      const own = leadingOptions(leading.rest.slice(1))
      const context = operatorContext({ ...leading.options, ...own.options })
      process.exitCode = await passed(context, own.rest)
    } else await program().parseAsync([...words], { from: 'user' })
  } catch (error) {
    process.exitCode = endWith(error, words)
  }
}

/** Verbs whose words belong to OpenSSH: commander must not read them. */
const passThrough: Record<string, (context: OperatorContext, words: string[]) => Promise<number>> = {
  ssh: async (context, words) => (await import('#agent/operator/verbs/ssh.ts')).ssh(context, words),
  cp: async (context, words) => (await import('#agent/operator/verbs/cp.ts')).cp(context, words),
}

const asksForHelp = (words: readonly string[]): boolean => words[1] === '--help' || words.length === 1

/** `--state DIR` and `--json` stand before a verb, or right after it. */
function leadingOptions(words: readonly string[]): { options: GlobalOptions; rest: string[] } {
  const options: GlobalOptions = {}
  let at = 0
  for (; at < words.length; at++) {
    const word = words[at]!
    if (word === '--json') options.json = true
    else if (word === '--state' && words[at + 1] !== undefined) options.state = words[++at]!
    else if (word.startsWith('--state=')) options.state = word.slice('--state='.length)
    else break
  }
  return { options, rest: words.slice(at) }
}

function program(): Command {
  const adit = new Command('adit')
    .description('reach devices of a fleet: ssh, forwards, telemetry')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .addHelpText('after', '\nFor scp, sftp and rsync: adit ssh-config >> ~/.ssh/config, then use DEVICE.adit as the host.')

  const verb = (name: string, description: string): Command =>
    adit
      .command(name)
      .description(description)
      .option('--state <dir>', 'state folder (or ADIT_STATE)')
      .option('--json', 'JSON on standard output')
  /** Options may stand before or after the verb. */
  const contextOf = (command: Command): OperatorContext => operatorContext(command.optsWithGlobals<GlobalOptions>())
  adit.option('--state <dir>', 'state folder (or ADIT_STATE)').option('--json', 'JSON on standard output')

  verb('login', 'enrol this machine as an operator')
    .requiredOption('--claim <token>', 'the claim; - reads it from standard input')
    .action(async (options: { claim: string }, command: Command) =>
      (await import('#agent/operator/verbs/login.ts')).login(contextOf(command), options.claim),
    )
  const devices = verb('devices', 'list the devices that you may reach').action(async (_options, command: Command) =>
    (await import('#agent/operator/verbs/devices.ts')).devices(contextOf(command)),
  )
  devices
    .command('accept-key <device>')
    .description('accept the host key that the device shows now')
    .option('--service <name>', 'whose key', 'ssh')
    .action(async (device: string, options: { service: string }, command: Command) =>
      (await import('#agent/operator/verbs/devices.ts')).acceptKey(contextOf(command), device, options.service),
    )
  verb('ssh', "run your OpenSSH through the tunnel; takes ssh's own flags").usage('[ssh flags] DEVICE [-- COMMAND...]')
  verb('cp', "copy files with your scp through the tunnel; takes scp's own flags").usage('[scp flags] SOURCE... TARGET')
  verb('ssh-config', 'print a block for ~/.ssh/config, for scp, sftp and rsync').action(async (_options, command: Command) =>
    (await import('#agent/operator/verbs/ssh-config.ts')).sshConfig(contextOf(command)),
  )
  verb('forward <device>', 'lead local ports to ports of a device')
    .option('-L <spec>', '[BIND:]PORT:[HOST:]HOSTPORT, repeatable', collect, [])
    .addOption(new Option('-R <spec>').argParser(collect).default([]).hideHelp())
    .addOption(new Option('-D <spec>').argParser(collect).default([]).hideHelp())
    .action(async (device: string, options: { L: string[]; R: string[]; D: string[] }, command: Command) =>
      (await import('#agent/operator/verbs/forward.ts')).forward(contextOf(command), device, {
        local: options.L,
        remote: options.R,
        dynamic: options.D,
      }),
    )
  verb('telemetry <device>', 'readings of a device')
    .option('-f, --follow', 'go on with what comes', false)
    .option('--since <time>', '15m, 2h, 7d or an ISO time')
    .option('--name <name>', 'readings of this name alone')
    .action(async (device: string, options: { follow: boolean; since?: string; name?: string }, command: Command) =>
      (await import('#agent/operator/verbs/telemetry.ts')).telemetry(contextOf(command), device, options),
    )
  verb('why <device>', 'name the first broken link between you and a device')
    .option('--port <port>', 'the port that you want to reach', portNumber, 22)
    .action(async (device: string, options: { port: number }, command: Command) =>
      (await import('#agent/operator/verbs/why.ts')).why(contextOf(command), device, options.port),
    )
  verb('audit', 'who reached what, and what was refused')
    .option('--limit <n>', 'rows', rowNumber, 100)
    .action(async (options: { limit: number }, command: Command) =>
      (await import('#agent/operator/verbs/audit.ts')).audit(contextOf(command), options.limit),
    )
  verb('status', 'what this machine knows of itself').action(async (_options, command: Command) =>
    (await import('#agent/operator/verbs/status.ts')).status(contextOf(command)),
  )
  verb('logout', 'forget the identity of this machine').action(async (_options, command: Command) =>
    (await import('#agent/operator/verbs/logout.ts')).logout(contextOf(command)),
  )
  adit.addCommand(
    hidden('proxy <host> <port>', async (context, [host = '', port = '']) =>
      (await import('#agent/operator/verbs/proxy.ts')).proxy(context, host, port),
    ),
    { hidden: true },
  )
  adit.addCommand(
    hidden('tunnel-process', async (context) =>
      (await import('#agent/operator/io/tunnel-process.ts')).runTunnelProcess(context.stateFolder),
    ),
    { hidden: true },
  )
  return adit
}

function hidden(usage: string, run: (context: OperatorContext, words: string[]) => Promise<void>): Command {
  const [name = '', ...parameters] = usage.split(' ')
  const command = new Command(name)
    .option('--state <dir>')
    .exitOverride()
    .configureOutput({ outputError: () => {} })
  for (const parameter of parameters) command.argument(parameter)
  return command.action(async () => run(operatorContext(command.optsWithGlobals<GlobalOptions>()), command.args))
}

const collect = (value: string, before: string[]): string[] => [...before, value]
const portNumber = (text: string): number => wholeNumber(text, 65_535)
const rowNumber = (text: string): number => wholeNumber(text, 1_000)

function wholeNumber(text: string, most: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) throw new InvalidArgumentError(`It is no number from 1 to ${most}.`)
  return value
}

/** Says what went wrong, and returns the exit status. */
function endWith(error: unknown, words: readonly string[]): number {
  if (error instanceof CommanderError) {
    // Help that was asked for ends well; commander has printed it.
    if (error.exitCode === 0) return 0
    const why =
      error.message === '(outputHelp)' ? 'A verb is missing.' : `${error.message.replace(/^error: /, '')}.`.replace(/\.\.$/, '.')
    return tell(new AditError('usage', why, 'See: adit --help.'), words)
  }
  return tell(toAditError(error), words)
}

function tell(error: AditError, words: readonly string[]): number {
  printError(error, words.slice(0, words.indexOf('--') < 0 ? undefined : words.indexOf('--')).includes('--json'))
  return error.exitStatus
}
