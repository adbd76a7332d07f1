import { Command, CommanderError } from 'commander'
import { type AditError, toAditError } from '#shared/errors.ts'
import { version } from '#shared/platform/version.ts'
import { printable } from '#shared/terminal/printable.ts'
import { usageError } from '#shared/terminal/usage-error.ts'
import type { Terminal } from './terminal.ts'
import { audit } from './verbs/audit.ts'
import { backup } from './verbs/backup.ts'
import { caInstall } from './verbs/ca-install.ts'
import { caRequest } from './verbs/ca-request.ts'
import { caRollback } from './verbs/ca-rollback.ts'
import { caRoot } from './verbs/ca-root-export.ts'
import { caRotate } from './verbs/ca-rotate.ts'
import { caShow } from './verbs/ca-show.ts'
import { caSign } from './verbs/ca-sign.ts'
import { caStatusVerb } from './verbs/ca-status.ts'
import { claimCreate } from './verbs/claim-create.ts'
import { claimList } from './verbs/claim-list.ts'
import { claimRevoke } from './verbs/claim-revoke.ts'
import { clonesDismiss } from './verbs/clones-dismiss.ts'
import { clonesGrant } from './verbs/clones-grant.ts'
import { clonesList } from './verbs/clones-list.ts'
import { clonesShow } from './verbs/clones-show.ts'
import { configCheck } from './verbs/config-check.ts'
import { configShow } from './verbs/config-show.ts'
import { deviceAcceptKey } from './verbs/device-accept-key.ts'
import { deviceAdd } from './verbs/device-add.ts'
import { deviceCancelOrder } from './verbs/device-cancel-order.ts'
import { deviceList } from './verbs/device-list.ts'
import { deviceOrders } from './verbs/device-orders.ts'
import { deviceReadmit } from './verbs/device-readmit.ts'
import { deviceRetire } from './verbs/device-retire.ts'
import { deviceRevoke } from './verbs/device-revoke.ts'
import { deviceSet } from './verbs/device-set.ts'
import { deviceShow } from './verbs/device-show.ts'
import { deviceTag } from './verbs/device-tag.ts'
import { deviceTransfer } from './verbs/device-transfer.ts'
import { deviceWipe } from './verbs/device-wipe.ts'
import { enrolmentsApprove } from './verbs/enrolments-approve.ts'
import { enrolmentsDeny } from './verbs/enrolments-deny.ts'
import { enrolmentsList } from './verbs/enrolments-list.ts'
import { enrolmentsShow } from './verbs/enrolments-show.ts'
import { factoryList } from './verbs/factory-list.ts'
import { factoryRemove } from './verbs/factory-remove.ts'
import { factoryTrust } from './verbs/factory-trust.ts'
import { fleetImport } from './verbs/fleet-import.ts'
import { fleetPending } from './verbs/fleet-pending.ts'
import { fleetPin } from './verbs/fleet-pin.ts'
import { fleetStatus } from './verbs/fleet-status.ts'
import { grantAdd } from './verbs/grant-add.ts'
import { grantList } from './verbs/grant-list.ts'
import { grantRevoke } from './verbs/grant-revoke.ts'
import { laneList } from './verbs/lane-list.ts'
import { negotiations } from './verbs/negotiations.ts'
import { operatorList } from './verbs/operator-list.ts'
import { operatorRevoke } from './verbs/operator-revoke.ts'
import { restore } from './verbs/restore.ts'
import { run } from './verbs/run.ts'
import { stationAuthorize } from './verbs/station-authorize.ts'
import { stationConflicts } from './verbs/station-conflicts.ts'
import { stationExtend } from './verbs/station-extend.ts'
import { stationList } from './verbs/station-list.ts'
import { stationRevoke } from './verbs/station-revoke.ts'
import { stationShow } from './verbs/station-show.ts'
import { status } from './verbs/status.ts'
import { voucherAgain } from './verbs/voucher-again.ts'
import { voucherImport } from './verbs/voucher-import.ts'
import { voucherList } from './verbs/voucher-list.ts'
import { voucherRemove } from './verbs/voucher-remove.ts'

type AddVerb = (parent: Command, terminal: Terminal) => void

/** What `adit-broker` understands: verbs, and verbs under a noun. */
const verbs: readonly AddVerb[] = [run, status, audit, negotiations, backup, restore]
const nouns: readonly [noun: string, summary: string, verbs: readonly AddVerb[]][] = [
  ['claim', 'rights to enrol', [claimCreate, claimList, claimRevoke]],
  [
    'enrolments',
    'requests that wait for a person (claim create --approve)',
    [enrolmentsList, enrolmentsShow, enrolmentsApprove, enrolmentsDeny],
  ],
  ['clones', 'copies of devices', [clonesList, clonesShow, clonesGrant, clonesDismiss]],
  ['lane', 'devices whose certificate has expired', [laneList]],
  ['grant', 'who may reach what', [grantAdd, grantList, grantRevoke]],
  [
    'device',
    'devices of the fleet',
    [
      deviceList,
      deviceAdd,
      deviceShow,
      deviceRevoke,
      deviceTag,
      deviceSet,
      deviceAcceptKey,
      deviceReadmit,
      deviceRetire,
      deviceWipe,
      deviceTransfer,
      deviceOrders,
      deviceCancelOrder,
    ],
  ],
  ['operator', 'people with a tunnel', [operatorList, operatorRevoke]],
  [
    'fleet',
    "the administrator's key, under which the ends believe one another",
    [fleetStatus, fleetPin, fleetPending, fleetImport],
  ],
  ['factory', 'makers of boards that are believed', [factoryTrust, factoryList, factoryRemove]],
  ['voucher', 'boards that belong to this fleet', [voucherImport, voucherList, voucherAgain, voucherRemove]],
  ['station', 'factory lines', [stationAuthorize, stationExtend, stationList, stationShow, stationRevoke, stationConflicts]],
  ['config', 'the configuration', [configShow, configCheck]],
  ['ca', "the fleet's certificate authority", [caShow, caStatusVerb, caRotate, caRollback, caRoot, caRequest, caSign, caInstall]],
]

/** Runs `adit-broker` with the words after its name; returns the exit status. */
export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<number> {
  const root = program(terminal)
  try {
    await root.parseAsync([...words], { from: 'user' })
    return 0
  } catch (error) {
    // Help that was asked for ends well; commander has printed it.
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    return tell(error instanceof CommanderError ? usageError(error, root, words) : toAditError(error), words, terminal)
  }
}

export function program(terminal: Terminal): Command {
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

function tell(error: AditError, words: readonly string[], terminal: Terminal): number {
  if (words.includes('--json')) terminal.err(`${JSON.stringify(error)}\n`)
  else terminal.err(`${printable(`adit-broker: ${error.message} ${error.mend} (${error.code})`)}\n`)
  return error.exitStatus
}
