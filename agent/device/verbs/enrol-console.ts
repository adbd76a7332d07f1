import { boardSerial } from '#agent/io/board-serial.ts'
import { LineConsole } from '#agent/io/line-console.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import type { TokenPlace } from '#agent/io/token-place.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { minutes } from '#shared/time/instant.ts'
import type { EnrolFlags } from '../command-line.ts'
import { runNext } from '../run-next.ts'

/** `adit-agent enrol --console`: standard input and output are the console, at whose other end a station is. */
export async function enrolConsoleVerb(flags: EnrolFlags, pkcs11: TokenPlace | undefined): Promise<void> {
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const lock = await lockFolder(folder.path, 'adit-agent enrol')
  const { stdin, stdout } = process
  try {
    // No echo, no lines of the terminal's own, no Ctrl-C out of the noise.
    if (stdin.isTTY) stdin.setRawMode(true)
    const line = new LineConsole({
      folder,
      suite: nativeSuite,
      timers: systemTimers,
      serial: flags.serial === undefined ? await boardSerial() : checkSerial(flags.serial),
      said: flags.serial !== undefined,
      pkcs11,
      patience: minutes(5),
      write: (text) => void stdout.write(text),
    })
    stdin.on('data', (bytes: Buffer) => line.receive(bytes))
    if (!(await line.ended)) throw nobody()
    stdout.write(`\r\n${(await folder.record())?.name} is enrolled. ${runNext(folder.path)}\r\n`)
  } finally {
    if (stdin.isTTY) stdin.setRawMode(false)
    stdin.destroy()
    await lock.release()
  }
}

const nobody = (): AditError =>
  new AditError(
    'line-lost',
    'No station has given this board an identity over this console.',
    'At the station: adit station provision SERIAL --serial /dev/ttyUSB0',
  )
