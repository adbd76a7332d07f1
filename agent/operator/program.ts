import { Command, InvalidArgumentError, Option } from 'commander'
import { parseSuiteName } from '#agent/core/suite-name.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { operatorContext } from '#agent/operator/io/operator-context.ts'
import { version } from '#shared/platform/version.ts'

interface GlobalOptions {
  state?: string
  json?: boolean
}

/** Every verb with its options and help. Its code is loaded when it is called. */
export function program(): Command {
  const adit = new Command('adit')
    .description('reach devices of a fleet: ssh, forwards, telemetry')
    .version(version)
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
    .option('--suite <suite>', 'protocols of the tunnel: noise or esp', 'noise')
    .option('--proxy <url>', 'http://[USER:PASSWORD@]HOST:PORT, or off; it is remembered (default: HTTPS_PROXY and NO_PROXY)')
    .action(async ({ claim, suite, proxy }: { claim: string; suite: string; proxy?: string }, command: Command) =>
      (await import('#agent/operator/verbs/login.ts')).login(contextOf(command), { claim, proxy, speaks: parseSuiteName(suite) }),
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
  return adit
}

const collect = (value: string, before: string[]): string[] => [...before, value]
const portNumber = (text: string): number => wholeNumber(text, 65_535)
const rowNumber = (text: string): number => wholeNumber(text, 1_000)

function wholeNumber(text: string, most: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) throw new InvalidArgumentError(`It is no number from 1 to ${most}.`)
  return value
}
