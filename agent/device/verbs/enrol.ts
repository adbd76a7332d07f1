import { enrol } from '#agent/io/identity.ts'
import { readToken } from '#agent/io/read-token.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { createLog } from '#shared/platform/log.ts'
import type { EnrolFlags } from '../command-line.ts'

/** `adit-agent enrol`: progress for a person who watches, one line of JSON for a script. */
export async function enrolVerb(flags: EnrolFlags): Promise<void> {
  const token = await readToken(flags.claim)
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
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
      onProgress: (step) => {
        if (!flags.json) process.stderr.write(`${step}\n`)
      },
    })
    const { name, notAfter } = identity.leaf
    const until = new Date(notAfter).toISOString()
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ event: 'enrolled', name, notAfter: until, state: folder.path })}\n`
        : `Enrolled as ${name}, until ${until}. Now: adit-agent run --state ${folder.path}\n`,
    )
    identity.close()
  } finally {
    await lock.release()
  }
}
