import { Command, InvalidArgumentError, Option } from 'commander'
import { parseSuiteName } from '#agent/core/suite-name.ts'
import { factoryVerbs } from '#agent/factory/program.ts'
import { repeatable } from '#agent/io/repeatable-option.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { operatorContext } from '#agent/operator/io/operator-context.ts'
import { stateHelp } from '#agent/operator/state-help.ts'
import { stationVerbs } from '#agent/station/program.ts'
import { version } from '#shared/platform/version.ts'
import { examplesText } from '#shared/terminal/examples.ts'

interface GlobalOptions {
  state?: string
  path?: string
  json?: boolean
}

/** Every verb with its options and help. Its code is loaded when it is called. */
export function program(): Command {
  const adit = new Command('adit')
    .description('reach devices of a fleet: ssh, forwards, telemetry')
    .version(version)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, outputError: () => {} })
    .addHelpText('after', '\nFor scp, sftp and rsync: adit ssh-config >> ~/.ssh/config, then use DEVICE.adit as the host.')

  const verb = (name: string, description: string, examples: readonly string[]): Command =>
    adit
      .command(name)
      .description(description)
      .option('--state <dir>', stateHelp)
      .option('--json', 'JSON on standard output')
      .addOption(wayOption())
      .addHelpText('after', examplesText(examples))
  /** Options may stand before or after the verb. */
  const contextOf = (command: Command): OperatorContext => operatorContext(command.optsWithGlobals<GlobalOptions>())
  adit.option('--state <dir>', stateHelp).option('--json', 'JSON on standard output')
  adit.option('--path <way>', 'how ssh, cp and forward reach a device: auto (default), relay or direct')

  verb('login', 'enrol this machine as an operator', ['adit login --claim -    # the claim from standard input'])
    .requiredOption('--claim <token>', 'the claim; - reads it from standard input')
    .option('--suite <suite>', 'protocols of the tunnel: noise or esp', 'noise')
    .option('--proxy <url>', 'http://[USER:PASSWORD@]HOST:PORT, or off; it is remembered (default: HTTPS_PROXY and NO_PROXY)')
    .action(async ({ claim, suite, proxy }: { claim: string; suite: string; proxy?: string }, command: Command) =>
      (await import('#agent/operator/verbs/login.ts')).login(contextOf(command), { claim, proxy, speaks: parseSuiteName(suite) }),
    )
  const devices = verb('devices', 'list the devices that you may reach', ['adit devices', 'adit devices --data --json'])
    .option('--data', 'what their tunnels cost, in bytes at the interface')
    .action(async (options: { data?: boolean }, command: Command) =>
      (await import('#agent/operator/verbs/devices.ts')).devices(contextOf(command), options),
    )
  devices
    .command('accept-key <device>')
    .description('accept the host key that the device shows now')
    .addHelpText('after', examplesText(['adit devices accept-key pump-7']))
    .option('--service <name>', 'whose key', 'ssh')
    .action(async (device: string, options: { service: string }, command: Command) =>
      (await import('#agent/operator/verbs/devices.ts')).acceptKey(contextOf(command), device, options.service),
    )
  verb('ssh', "run your OpenSSH through the tunnel; takes ssh's own flags", [
    'adit ssh pump-7',
    'adit ssh -l root pump-7 -- uptime',
  ]).usage('[ssh flags] DEVICE [-- COMMAND...]')
  verb('cp', "copy files with your scp through the tunnel; takes scp's own flags", [
    'adit cp firmware.bin pump-7:/tmp/',
    'adit cp -r pump-7:/var/log ./log',
  ]).usage('[scp flags] SOURCE... TARGET')
  verb('ssh-config', 'print a block for ~/.ssh/config, for scp, sftp and rsync', ['adit ssh-config >> ~/.ssh/config']).action(
    async (_options, command: Command) => (await import('#agent/operator/verbs/ssh-config.ts')).sshConfig(contextOf(command)),
  )
  verb('forward <device>', 'lead local ports to ports of a device', [
    'adit forward pump-7 -L 8080:localhost:80',
    'adit forward pump-7 -D 1080',
  ])
    .addOption(repeatable('-L <spec>', '[BIND:]PORT:[HOST:]HOSTPORT'))
    .addOption(repeatable('-R <spec>', 'refused, with what does it').hideHelp())
    .addOption(repeatable('-D <spec>', '[BIND:]PORT: a SOCKS 5 proxy to all ports of the device that you may reach'))
    .action(async (device: string, options: { L: string[]; R: string[]; D: string[] }, command: Command) =>
      (await import('#agent/operator/verbs/forward.ts')).forward(contextOf(command), device, {
        local: options.L,
        remote: options.R,
        dynamic: options.D,
      }),
    )
  verb('telemetry <device>', 'readings of a device', [
    'adit telemetry pump-7 --follow',
    'adit telemetry pump-7 --since 2h --name pressure --json',
  ])
    .option('-f, --follow', 'go on with what comes')
    .option('--since <time>', '15m, 2h, 7d or an ISO time')
    .option('--name <name>', 'readings of this name alone')
    .action(
      async (
        device: string,
        { follow = false, ...options }: { follow?: boolean; since?: string; name?: string },
        command: Command,
      ) => (await import('#agent/operator/verbs/telemetry.ts')).telemetry(contextOf(command), device, { ...options, follow }),
    )
  verb('why <device>', 'name the first broken link between you and a device; status 0 where nothing is broken', [
    'adit why pump-7',
    'adit why pump-7 --port 443',
  ])
    .option('--port <port>', 'the port that you want to reach', portNumber, 22)
    .action(async (device: string, options: { port: number }, command: Command) => {
      process.exitCode = await (await import('#agent/operator/verbs/why.ts')).why(contextOf(command), device, options.port)
    })
  verb('doctor', 'what stands between this machine and the broker, worst first; status 0 where nothing is broken', [
    'adit doctor',
    'adit doctor --broker broker.example.net    # before login',
  ])
    .option('--broker <host>', 'look before login: HOST, HOST:PORT of the API, or its URL')
    .action(async (options: { broker?: string }, command: Command) => {
      process.exitCode = await (await import('#agent/operator/verbs/doctor.ts')).doctor(contextOf(command), options.broker)
    })
  verb('audit', 'who reached what, and what was refused', ['adit audit --limit 20', 'adit audit --json'])
    .option('--limit <n>', 'rows, to 1000', rowNumber, 100)
    .action(async (options: { limit: number }, command: Command) =>
      (await import('#agent/operator/verbs/audit.ts')).audit(contextOf(command), options.limit),
    )
  fleetVerbs(adit, contextOf)
  stationVerbs(adit)
  factoryVerbs(adit, contextOf)
  verb('status', 'what this machine knows of itself, and by which way devices are reached', ['adit status', 'adit status pump-7'])
    .argument('[device]', 'one of them: why no better way is used')
    .action(async (device: string | undefined, _options, command: Command) =>
      (await import('#agent/operator/verbs/status.ts')).status(contextOf(command), device),
    )
  verb('logout', 'forget the identity of this machine', ['adit logout']).action(async (_options, command: Command) =>
    (await import('#agent/operator/verbs/logout.ts')).logout(contextOf(command)),
  )
  return adit
}

/** The administrator's key: made and used here, never on a broker. */
function fleetVerbs(adit: Command, contextOf: (command: Command) => OperatorContext): void {
  const load = () => import('#agent/operator/verbs/fleet.ts')
  const fleet = adit
    .command('fleet')
    .description("the administrator's key, under which the ends believe one another")
    .addHelpText('after', fleetHelp)
  const verb = (usage: string, description: string, examples: readonly string[]): Command =>
    fleet
      .command(usage)
      .description(description)
      .option('--state <dir>', stateHelp)
      .option('--json', 'JSON on standard output')
      .option('--key <file>', 'the private key (default: fleet-key.pem in the state folder)')
      .option('--passphrase-file <file>', 'its first line is the passphrase of the key')
      .addHelpText('after', examplesText(examples))
  const signing = (command: Command): Command =>
    command
      .option('--yes', 'sign everything without asking')
      .option('--days <n>', 'how long what has no end of its own holds', lifeInDays, 366)
  verb('init', 'make the fleet key', ['adit fleet init --passphrase'])
    .option('--passphrase', 'keep it under a passphrase that is asked for')
    .action(async (options, command: Command) => (await load()).fleetInit(contextOf(command), options))
  verb('show', 'the public half of the key, and its fingerprint', ['adit fleet show']).action(async (options, command: Command) =>
    (await load()).fleetShow(contextOf(command), options),
  )
  verb('pin [publickey]', 'believe this key and no other on this machine (default: the one that lies here)', [
    'adit fleet pin Nx0Wm0mR3o3yQ1mC0i0xk3cW1pYk2mJb9m0xw1b2c3Q=',
  ])
    .option('--replace', 'in place of another one that is lost')
    .action(async (key: string | undefined, options, command: Command) =>
      (await load()).fleetPin(contextOf(command), key, options),
    )
  signing(
    verb('sign', 'show what waits for the key, ask, and sign', [
      'adit fleet sign',
      'adit fleet sign --in pending.json --out signed.json',
    ]),
  )
    .option('--in <file>', 'what waits, as adit-broker fleet pending --json says it; - for standard input')
    .option('--out <file>', 'where what was signed goes, for adit-broker fleet import; - for standard output')
    .action(async (options, command: Command) => (await load()).fleetSign(contextOf(command), options))
  signing(
    verb('rotate', 'make a new key, hand over to it by the old one, and sign everything anew', [
      'adit fleet rotate --passphrase',
    ]),
  )
    .option('--new-key <file>', 'where the new key goes (default: in place of the old one)')
    .option('--passphrase', 'keep it under a passphrase that is asked for')
    .action(async (options, command: Command) => (await load()).fleetRotate(contextOf(command), options))
}

const fleetHelp = `
A stolen broker opens no shell: devices and operators that have pinned the key believe tunnel keys, host keys and grants only as it has
signed them. Begin:   adit fleet init                       here
                      adit-broker fleet pin PUBLICKEY       at the broker: claims carry the key from then on
                      adit fleet sign                       here, after every new device, operator, host key and grant
                      adit-agent fleet pin PUBLICKEY        on devices that enrolled before, and adit fleet pin on operators' machines`

const lifeInDays = (text: string): number => wholeNumber(text, 3_660)
/** Behind a verb it stands for those that have a use for it. */
const wayOption = (): Option => new Option('--path <way>').hideHelp()

const portNumber = (text: string): number => wholeNumber(text, 65_535)
const rowNumber = (text: string): number => wholeNumber(text, 1_000)

function wholeNumber(text: string, most: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) throw new InvalidArgumentError(`It is no number from 1 to ${most}.`)
  return value
}
