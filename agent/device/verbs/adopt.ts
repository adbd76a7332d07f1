import { adopt, bootFolder } from '#agent/io/adopt.ts'
import { boardSerial } from '#agent/io/board-serial.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import type { AdoptFlags } from '../command-line.ts'
import { runNext } from '../run-next.ts'

/** `adit-agent adopt`: at the first power-on, by a unit of systemd; again at any time. */
export async function adoptVerb(flags: AdoptFlags): Promise<void> {
  if (flags.pkcs11 !== undefined) throw madeElsewhere()
  const from = flags.from ?? bootFolder()
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const lock = await lockFolder(folder.path, 'adit-agent adopt')
  try {
    const adoption = await adopt({ from, folder, suite: nativeSuite, board: await boardSerial() })
    if (adoption.outcome === 'none' && (await folder.certificates()) === undefined) throw nothingThere(from)
    const name = adoption.outcome === 'none' ? (await folder.record())?.name : adoption.name
    const said = {
      taken: `This board is ${name} now; the bundle is erased from ${from}. ${runNext(folder.path)}`,
      erased: `This board was ${name} already; the bundle is erased from ${from}.`,
      none: `This board is ${name}; there is no bundle in ${from}.`,
    }[adoption.outcome]
    process.stdout.write(
      flags.json ? `${JSON.stringify({ event: 'adopted', outcome: adoption.outcome, name, state: folder.path })}\n` : `${said}\n`,
    )
  } finally {
    await lock.release()
  }
}

/** A key in hardware is made there and nowhere else: the image way has none. */
const madeElsewhere = (): AditError =>
  new AditError(
    'key-token-refused',
    'The identity on a card has its key in a file, which the station has made; no token takes a key from outside.',
    'For a key in hardware let the board make it: adit-agent enrol --line auto --pkcs11 URI, or --console, --voucher, --claim.',
  )

const nothingThere = (from: string): AditError =>
  new AditError(
    'not-found',
    `There is no bundle of a unit in ${from}.`,
    'Provision this card at a station (adit station provision --into …), or enrol with a claim: adit-agent enrol --claim TOKEN',
  )
