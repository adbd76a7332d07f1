import { Command, CommanderError } from 'commander'
import { AditError, toAditError } from '#shared/errors.ts'
import { version } from '#shared/platform/version.ts'
import { printable } from '#shared/terminal/printable.ts'
import type { Terminal } from './terminal.ts'
import { audit } from './verbs/audit.ts'
import { caShow } from './verbs/ca-show.ts'
import { claimCreate } from './verbs/claim-create.ts'
import { claimList } from './verbs/claim-list.ts'
import { claimRevoke } from './verbs/claim-revoke.ts'
import { configCheck } from './verbs/config-check.ts'
import { configShow } from './verbs/config-show.ts'
import { deviceAcceptKey } from './verbs/device-accept-key.ts'
import { deviceAdd } from './verbs/device-add.ts'
import { deviceList } from './verbs/device-list.ts'
import { deviceRevoke } from './verbs/device-revoke.ts'
import { deviceSet } from './verbs/device-set.ts'
import { deviceShow } from './verbs/device-show.ts'
import { deviceTag } from './verbs/device-tag.ts'
import { fleetImport } from './verbs/fleet-import.ts'
import { fleetPending } from './verbs/fleet-pending.ts'
import { fleetPin } from './verbs/fleet-pin.ts'
import { fleetStatus } from './verbs/fleet-status.ts'
import { grantAdd } from './verbs/grant-add.ts'
import { grantList } from './verbs/grant-list.ts'
import { grantRevoke } from './verbs/grant-revoke.ts'
import { negotiations } from './verbs/negotiations.ts'
import { operatorList } from './verbs/operator-list.ts'
import { operatorRevoke } from './verbs/operator-revoke.ts'
import { run } from './verbs/run.ts'
import { status } from './verbs/status.ts'

type AddVerb = (parent: Command, terminal: Terminal) => void

/** What `adit-broker` understands: verbs, and verbs under a noun. */
const verbs: readonly AddVerb[] = [run, status, audit, negotiations]
const nouns: readonly [noun: string, summary: string, verbs: readonly AddVerb[]][] = [
  ['claim', 'rights to enrol', [claimCreate, claimList, claimRevoke]],
  ['grant', 'who may reach what', [grantAdd, grantList, grantRevoke]],
  ['device', 'devices of the fleet', [deviceList, deviceAdd, deviceShow, deviceRevoke, deviceTag, deviceSet, deviceAcceptKey]],
  ['operator', 'people with a tunnel', [operatorList, operatorRevoke]],
  [
    'fleet',
    "the administrator's key, under which the ends believe one another",
    [fleetStatus, fleetPin, fleetPending, fleetImport],
  ],
  ['config', 'the configuration', [configShow, configCheck]],
  ['ca', "the fleet's certificate authority", [caShow]],
]

/** Runs `adit-broker` with the words after its name; returns the exit status. */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await program(terminal).parseAsync([...words], { from: 'user' })
    return 0
  } catch (error) {
    // Help that was asked for ends well; commander has printed it.
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    return tell(error instanceof CommanderError ? usageError(error) : toAditError(error), words, terminal)
  }
}

function program(terminal: Terminal): Command {
  const root = new Command('adit-broker')
    .description('the cloud end of adit: enrols, relays and listens')
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: () => {}, outputError: () => {} })
    .addHelpText('after', '\nEvery verb has --help with examples, --data DIR and --json, and works while the broker runs.')
  for (const add of verbs) add(root, terminal)
  for (const [noun, summary, under] of nouns) {
    const command = root.command(noun).description(summary)
    for (const add of under) add(command, terminal)
  }
  return root
}

function usageError(error: CommanderError): AditError {
  const said = error.message
    .replace(/^error: /, '')
    .replace(/\s+/g, ' ')
    .replace(/\.?$/, '.')
  return new AditError('usage', error.code === 'commander.help' ? 'A verb is missing.' : said, 'See: adit-broker --help')
}

function tell(error: AditError, words: readonly string[], terminal: Terminal): number {
  if (words.includes('--json')) terminal.err(`${JSON.stringify(error)}\n`)
  else terminal.err(`${printable(`adit-broker: ${error.message} ${error.mend} (${error.code})`)}\n`)
  return error.exitStatus
}
