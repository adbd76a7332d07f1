import { type Command, InvalidArgumentError } from 'commander'
import { repeatable } from '#agent/io/repeatable-option.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { stateHelp } from '#agent/operator/state-help.ts'
import { examplesText } from '#shared/terminal/examples.ts'

/** `adit factory …`: what a maker of boards does, with or without a broker of its own. Code of a verb is loaded when it is called. */
export function factoryVerbs(adit: Command, contextOf: (command: Command) => OperatorContext): void {
  const factory = adit
    .command('factory')
    .description('give boards their IDevID, and say by vouchers who owns them')
    .addHelpText('after', factoryHelp)
  const verb = (usage: string, description: string, examples: readonly string[]): Command =>
    factory
      .command(usage)
      .description(description)
      .option('--state <dir>', stateHelp)
      .option('--json', 'JSON on standard output')
      .option('--folder <dir>', 'the factory (default: factory in the state folder)')
      .option('--passphrase-file <file>', 'its first line is the passphrase of the keys')
      .addHelpText('after', examplesText(examples))
  verb('init', 'make root, IDevID CA and the key that signs vouchers', ['adit factory init --passphrase'])
    .option('--name <name>', 'in the names of the certificates', 'adit')
    .option('--passphrase', 'keep the keys under a passphrase that is asked for')
    .action(async (options, command: Command) => (await import('./verbs/init.ts')).factoryInit(contextOf(command), options))
  verb('idevid <serial...>', 'give boards the certificate by which they ask for an operational one; it has no end', [
    'adit factory idevid SN0001 --into /mnt/card/var/lib/adit-agent',
    'adit factory idevid SN0001 --csr SN0001.csr --out SN0001.pem',
  ])
    .option('--into <dir>', 'make the key here, into the state folder of the board (of several: DIR/SERIAL)')
    .option('--csr <file>', 'for the key that the board has made: adit-agent idevid request')
    .option('--out <file>', 'with --csr: where the certificates go (default: standard output)')
    .option('--replace <reason>', 'for another key than the last one of the serial number')
    .action(async (serials: string[], options, command: Command) =>
      (await import('./verbs/idevid.ts')).factoryIdevid(contextOf(command), serials, options),
    )
  verb('voucher <serial...>', 'say who owns boards from now on', [
    'adit factory voucher SN0001 --owner root.pem --api https://broker.example:8443 --out SN0001.voucher',
  ])
    .requiredOption('--owner <file>', "the owner's root: adit-broker ca show")
    .addOption(repeatable('--api <url>', "where the owner's broker answers, https://HOST:PORT").makeOptionMandatory())
    .addOption(repeatable('--address <address>', 'a literal address of it, for where there is no DNS'))
    .option('--fleet-key <key>', "the owner's fleet key, pinned from the beginning")
    .option('--days <n>', 'how long the voucher holds (default: for ever)', lifeInDays)
    .option('--out <file>', 'where it goes; of several boards a folder (default: standard output)')
    .action(async (serials: string[], options, command: Command) =>
      (await import('./verbs/voucher.ts')).factoryVoucher(contextOf(command), serials, options),
    )
  verb('show [serial]', 'what this factory has said, of all boards or of one', [
    'adit factory show',
    'adit factory show SN0001',
  ]).action(async (serial: string | undefined, options, command: Command) =>
    (await import('./verbs/show.ts')).factoryShow(contextOf(command), serial, options),
  )
  verb('trust-anchor', 'the root by which brokers know these boards, in PEM', ['adit factory trust-anchor > maker.pem']).action(
    async (options, command: Command) => (await import('./verbs/show.ts')).factoryTrustAnchor(contextOf(command), options),
  )
}

function lifeInDays(text: string): number {
  const life = Number(text)
  if (Number.isSafeInteger(life) && life >= 1 && life <= 36_525) return life
  throw new InvalidArgumentError('Write a number of days, 1 to 36525.')
}

const factoryHelp = `
A board gets its IDevID once, where it is made, and learns from a voucher at its first power-on whom it belongs to. Begin:
  adit factory init --passphrase                                   here
  adit factory idevid SN0001 --into /mnt/card/var/lib/adit-agent   here; or on the board: adit-agent idevid request
  adit factory trust-anchor > maker.pem                            for the owner: adit-broker factory trust maker.pem
  adit factory voucher SN0001 --owner root.pem --api https://broker.example:8443 --out SN0001.voucher
  adit-broker voucher import SN0001.voucher --name 'pump-{n}'      at the owner; the board does the rest
A board changes hands by a newer voucher, which leads it from the old owner to the new one.`
