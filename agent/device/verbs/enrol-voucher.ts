import { askForVoucher } from '#agent/io/ask-for-voucher.ts'
import { readBoardIdentity } from '#agent/io/board-identity.ts'
import { followVoucher } from '#agent/io/board-owner.ts'
import { Floors } from '#agent/io/floors.ts'
import { proxyFinder } from '#agent/io/outer-proxy.ts'
import { readStandardInput } from '#agent/io/read-standard-input.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import type { TokenPlace } from '#agent/io/token-place.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog } from '#shared/platform/log.ts'
import type { EnrolFlags } from '../command-line.ts'
import { readVoucherFile, voucherIn } from '../first-power-on.ts'
import { runNext } from '../run-next.ts'

const voucherLimit = 128 * 1024

/** `adit-agent enrol --voucher FILE` or `--broker URL`: a board with an IDevID becomes its owner's; one that has another leaves it. */
export async function enrolVoucherVerb(flags: EnrolFlags, pkcs11: TokenPlace | undefined): Promise<void> {
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const board = await readBoardIdentity(folder.path, suite)
  if (board === undefined)
    throw new AditError(
      'not-enrolled',
      `No maker has given ${folder.path} an IDevID.`,
      'Enrol with a claim: adit-agent enrol --claim TOKEN',
    )
  const lock = await lockFolder(folder.path, 'adit-agent enrol')
  try {
    const floors = await Floors.open(folder.file('floor'), systemClock, createLog('warn', 'adit-agent'))
    const ports = { folder, board, floors, suite, proxy: proxyFinder(flags.proxy), pkcs11 }
    const { voucher, nonce } = await voucherOf(flags, ports)
    const following = await followVoucher(voucher, ports, nonce)
    const name = (await folder.record())?.name
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ event: following === 'kept' ? 'kept' : 'enrolled', name, state: folder.path })}\n`
        : following === 'kept'
          ? `This board is ${name} already, of the same owner.\n`
          : `Enrolled as ${name}. ${runNext(folder.path)}\n`,
    )
  } finally {
    await lock.release()
  }
}

async function voucherOf(
  { voucher: file, broker }: EnrolFlags,
  ports: Parameters<typeof askForVoucher>[2] & { board: Parameters<typeof askForVoucher>[1] },
): Promise<{ voucher: Uint8Array; nonce?: Uint8Array }> {
  if (file === undefined) return askForVoucher(broker[0]!, ports.board, ports)
  const voucher = file === '-' ? voucherIn(await readStandardInput(voucherLimit), 'standard input') : await readVoucherFile(file)
  if (voucher === undefined)
    throw new AditError('voucher-missing', `There is no ${file}.`, 'Name the file that the maker has made.')
  return { voucher }
}
