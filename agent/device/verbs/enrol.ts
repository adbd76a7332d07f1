import { boardSerial } from '#agent/io/board-serial.ts'
import { enrol } from '#agent/io/enrol.ts'
import { readToken } from '#agent/io/read-token.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import { parseTokenUri } from '#agent/io/token-place.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError } from '#shared/errors.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog } from '#shared/platform/log.ts'
import type { EnrolFlags } from '../command-line.ts'
import { runNext } from '../run-next.ts'

/** `adit-agent enrol`: progress for a person who watches, one line of JSON for a script. */
export async function enrolVerb(flags: EnrolFlags): Promise<void> {
  const { claim, line, console: atConsole, voucher } = flags
  const broker = flags.broker.length > 0 ? flags.broker : undefined
  const ways = [claim, line, atConsole, voucher, broker].filter((way) => way !== undefined).length
  if (ways > 1) throw oneWay()
  const pkcs11 = flags.pkcs11 === undefined ? undefined : parseTokenUri(flags.pkcs11)
  if (voucher !== undefined || broker !== undefined) return (await import('./enrol-voucher.ts')).enrolVoucherVerb(flags, pkcs11)
  if (line !== undefined) return (await import('./enrol-line.ts')).enrolLineVerb(line, flags, pkcs11)
  if (atConsole) return (await import('./enrol-console.ts')).enrolConsoleVerb(flags, pkcs11)
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const token = claim === undefined ? await folder.keptClaim() : await readToken(claim)
  if (token === undefined) throw oneWay()
  const lock = await lockFolder(folder.path, 'adit-agent enrol')
  try {
    const identity = await enrol({
      suite: nativeSuite,
      clock: systemClock,
      log: createLog('warn', 'adit-agent'),
      folder,
      token,
      role: 'device',
      proxy: flags.proxy,
      pkcs11,
      serial: flags.serial ?? (await boardSerial()),
      onWaiting: ({ request, key, retryAfter }) => {
        if (flags.json) process.stdout.write(`${JSON.stringify({ event: 'waiting', request, key, retryAfter })}\n`)
      },
      onProgress: (step) => {
        if (!flags.json) process.stderr.write(`${step}\n`)
      },
    })
    const { name, notAfter } = identity.leaf
    const until = new Date(notAfter).toISOString()
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ event: 'enrolled', name, notAfter: until, state: folder.path })}\n`
        : `Enrolled as ${name}, until ${until}. ${runNext(folder.path)}\n`,
    )
    identity.close()
  } finally {
    await lock.release()
  }
}

const oneWay = (): AditError =>
  new AditError(
    'usage',
    'Say where the identity comes from: --claim, --line, --console, --voucher or --broker, one of them.',
    'See: adit-agent enrol --help',
  )
