import { readFile } from 'node:fs/promises'
import { askForVoucher } from '#agent/io/ask-for-voucher.ts'
import { readBoardIdentity } from '#agent/io/board-identity.ts'
import { type Following, followVoucher, type OwnerPorts } from '#agent/io/board-owner.ts'
import { Floors } from '#agent/io/floors.ts'
import { readVoucherLedger } from '#agent/io/voucher-ledger.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import type { Log } from '#shared/platform/log.ts'
import { pause } from '#shared/platform/pause.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { type Clock, minutes, seconds } from '#shared/time/instant.ts'
import type { VoucherSources } from './config.ts'

interface FirstPowerOnOptions extends OwnerPorts {
  readonly sources: VoucherSources
  readonly timers: Timers
  readonly log: Log
  /** The agent is to end. */
  readonly ended: AbortSignal
}

/** A board that waits for its owner asks for hours or months: five minutes are soon enough then. */
const WAITS = { base: seconds(3), cap: minutes(5) }

/**
 * Until the board has an owner: the voucher that it follows already, then the file, then the brokers. One line in the log each time that
 * what it waits for changes. False where the agent is to end first.
 */
async function firstPowerOn(options: FirstPowerOnOptions): Promise<boolean> {
  const { suite, log, board } = options
  const backoff = new Backoff(
    WAITS,
    uniform((length) => suite.random(length)),
  )
  let said = ''
  while (!options.ended.aborted) {
    const problem = await attempt(options)
    if (problem === undefined) return true
    const text = `${problem.message} ${problem.mend}`
    if (text !== said) log.warn({ code: problem.code, serial: board.serial }, `this board waits for its owner: ${text}`)
    said = text
    await pause(options.timers, backoff.next(), options.ended)
  }
  return false
}

/** One look at every source, each of which may lead to the owner; undefined where one has, else what the last said. */
async function attempt(options: FirstPowerOnOptions): Promise<AditError | undefined> {
  let problem = noSource()
  for (const source of sourcesOf(options)) {
    try {
      if ((await source()) !== 'none') return undefined
    } catch (error) {
      problem = toAditError(error)
    }
  }
  return problem
}

type Source = () => Promise<Following | 'none'>

function sourcesOf({ sources: { voucher: file, brokers }, ...ports }: FirstPowerOnOptions): Source[] {
  const stored: Source = async () => {
    const ledger = await readVoucherLedger(ports.folder.path)
    return ledger === undefined ? 'none' : followVoucher(ledger.voucher, ports)
  }
  const filed: Source = async () => {
    const voucher = file === undefined ? undefined : await readVoucherFile(file)
    return voucher === undefined ? 'none' : followVoucher(voucher, ports)
  }
  const asked = brokers.map(
    (url): Source =>
      async () => {
        const { voucher, nonce } = await askForVoucher(url, ports.board, ports)
        return followVoucher(voucher, ports, nonce)
      },
  )
  return [stored, filed, ...asked]
}

/**
 * A board that has an owner looks at its voucher file once a start: a newer voucher leads it away, and one that is refused is no reason not
 * to serve.
 */
async function followNewVoucher(options: FirstPowerOnOptions): Promise<Following> {
  const { log, sources } = options
  try {
    const voucher = sources.voucher === undefined ? undefined : await readVoucherFile(sources.voucher)
    return voucher === undefined ? 'kept' : await followVoucher(voucher, options)
  } catch (error) {
    const { code, message, mend } = toAditError(error)
    log.warn({ code }, `${message} ${mend}`)
    return 'kept'
  }
}

export type OwnerFound = 'home' | 'enrolled' | 'stopped'

/**
 * Sees to it that the state folder is enrolled with the board's owner, as far as vouchers say who that is: `home` where nothing had to be
 * done, or no maker has given the board an IDevID; `stopped` where the agent is to end first. `ports` has all but the board. A power cut
 * that came into leaving an owner is mended here.
 */
export async function findOwner(
  ports: Omit<FirstPowerOnOptions, 'board' | 'floors'> & { clock: Clock },
  isClaimed: boolean,
): Promise<OwnerFound> {
  const { folder, suite, clock, log } = ports
  const isEnrolled = async (): Promise<boolean> => (await folder.certificates()) !== undefined
  const enrolled = await isEnrolled()
  const board = await readBoardIdentity(folder.path, suite).catch((error) => {
    if (!enrolled) throw error
    log.error({ code: error.code }, error.message)
    return undefined
  })
  if (board === undefined) return 'home'
  const options = { ...ports, board, floors: await Floors.open(folder.file('floor'), clock, log) }
  const isLeaving = (await readVoucherLedger(folder.path))?.stage === 'leaving'
  if (!isLeaving && !enrolled && isClaimed) return 'home'
  if (!isLeaving && enrolled) {
    const following = await followNewVoucher(options)
    if (await isEnrolled()) return following === 'enrolled' ? 'enrolled' : 'home'
  }
  return (await firstPowerOn(options)) ? 'enrolled' : 'stopped'
}

/** CMS DER, of DER or of PEM under the label CMS; undefined where there is no such file. Throws AditError `voucher-malformed`. */
export async function readVoucherFile(path: string): Promise<Uint8Array | undefined> {
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new AditError('voucher-missing', `${path} cannot be read (${error.code}).`, 'Name the file that the maker has made.')
  })
  return bytes && voucherIn(bytes, path)
}

/** `place`: for the message. */
export function voucherIn(bytes: Uint8Array, place: string): Uint8Array {
  if (bytes[0] === 0x30) return Uint8Array.from(bytes)
  try {
    const [voucher, ...others] = decodePem('CMS', Buffer.from(bytes).toString('latin1'))
    if (voucher !== undefined && others.length === 0) return voucher
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
  }
  throw new AditError('voucher-malformed', `${place} holds no voucher.`, 'Get the file again, as the maker has made it.')
}

const noSource = (): AditError =>
  new AditError(
    'voucher-missing',
    'No voucher says whose this board is.',
    'Give one (--voucher FILE), or a broker that may have it (--broker https://HOST:PORT).',
  )
