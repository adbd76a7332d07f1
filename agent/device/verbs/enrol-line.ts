import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bootFolders } from '#agent/io/adopt.ts'
import { boardSerial } from '#agent/io/board-serial.ts'
import { enrolAtLine } from '#agent/io/line-station.ts'
import { readToken } from '#agent/io/read-token.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import type { TokenPlace } from '#agent/io/token-place.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog } from '#shared/platform/log.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { type Duration, minutes } from '#shared/time/instant.ts'
import type { EnrolFlags } from '../command-line.ts'
import { runNext } from '../run-next.ts'

/** Where an image has the token of its line. */
const tokenFiles = [...bootFolders.map((folder) => join(folder, 'adit-line.txt')), '/etc/adit-agent/line']

/** How long a person waits for the station to be there and to expect the board. */
const patience = minutes(10)

/** `adit-agent enrol --line`: an identity from the station of this factory line. */
export async function enrolLineVerb(line: string, flags: EnrolFlags, pkcs11: TokenPlace | undefined): Promise<void> {
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const lock = await lockFolder(folder.path, 'adit-agent enrol')
  try {
    const name = await enrolAtThisLine(folder, line, {
      patience,
      attended: true,
      serial: flags.serial,
      pkcs11,
      quiet: flags.json === true,
    })
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ event: 'enrolled', name, state: folder.path })}\n`
        : `Enrolled as ${name}. ${runNext(folder.path)}\n`,
    )
  } finally {
    await lock.release()
  }
}

/** `line`: a token, `-` or `auto`. The folder's lock is held. */
export async function enrolAtThisLine(
  folder: StateFolder,
  line: string,
  {
    patience,
    attended = false,
    serial,
    pkcs11,
    quiet,
  }: { patience: Duration; attended?: boolean; serial?: string | undefined; pkcs11: TokenPlace | undefined; quiet: boolean },
): Promise<string> {
  let before = ''
  return enrolAtLine({
    folder,
    token: await lineToken(line),
    serial: await ownSerial(serial),
    pkcs11,
    patience,
    attended,
    suite: nativeSuite,
    clock: systemClock,
    timers: systemTimers,
    log: createLog('warn', 'adit-agent'),
    onProgress: (step) => {
      if (!quiet && step !== before) process.stderr.write(`${step}\n`)
      before = step
    },
  })
}

/** What the station knows this board by: as a person says, else as the board itself tells. Throws AditError `usage` where neither does. */
export async function ownSerial(said: string | undefined): Promise<string> {
  if (said !== undefined) return checkSerial(said)
  const serial = await boardSerial()
  if (serial !== undefined) return serial
  throw new AditError('usage', 'This board tells no serial number.', 'Say it as it was scanned: --serial NUMBER')
}

async function lineToken(line: string): Promise<string> {
  if (line !== 'auto') return readToken(line)
  const path = tokenFiles.find((file) => existsSync(file))
  if (path !== undefined) return (await readFile(path, 'utf8')).trim()
  throw new AditError(
    'not-found',
    `This image has no token of a line: looked for ${tokenFiles.join(', ')}.`,
    'Put there what adit station run prints, or give it: --line TOKEN',
  )
}
