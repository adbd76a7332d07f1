import type { PathWish } from '#agent/core/direct/direct-peer.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { reachableAddress, requireUnchangedKey } from '#agent/operator/reachable-device.ts'
import { SleepingDevice } from '#agent/operator/sleeping-device.ts'
import type { HostKeyTrust, SshSurroundings } from '#agent/operator/ssh-command.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'

/** A device that has just come up reports its host keys within moments: so long they are waited for, ms, and looked for so often. */
const reportPatienceMs = 5_000
const lookMs = 250

/** Finds the device through the tunnel process, which also writes its pinned keys to `known_hosts`. Throws where it cannot be reached. */
export async function lookUp(context: OperatorContext, text: string): Promise<{ name: string; trust: HostKeyTrust }> {
  const name = checkName(text)
  const sleeping = new SleepingDevice(context)
  let from = context.clock.now()
  for (;;) {
    const { answer, socket } = await context.tunnel().request({ op: 'device', device: name, ...wished(context) })
    socket.destroy()
    const device = answer.device as Device
    reachableAddress(device)
    requireUnchangedKey(device)
    if (await sleeping.waits(device)) {
      from = context.clock.now()
      continue
    }
    const trust = trustOf(device)
    if (trust === 'first-use' && device.hostKeysSigned && !device.firstUseSealed) throw unsigned(name)
    if (trust === 'pinned' || device.stock || device.firstUseSealed || context.clock.now() - from > reportPatienceMs)
      return { name, trust }
    await context.pause(lookMs)
  }
}

/** Under a pinned fleet key nobody is believed at first sight: a broker that leaves a host key out must not make one up instead. */
const unsigned = (name: string): AditError =>
  new AditError(
    'statement-refused',
    `No ssh host key of ${name} is signed by the fleet key.`,
    'See that its ssh service runs, then have an administrator sign: adit fleet sign.',
  )

export const trustOf = (device: Device): HostKeyTrust => ((device.hostKeys.ssh?.keys.length ?? 0) > 0 ? 'pinned' : 'first-use')

/** The way that was asked for, as requests carry it. */
export const wished = ({ path }: Pick<OperatorContext, 'path'>): { path?: PathWish } => (path === undefined ? {} : { path })

export const surroundings = ({ program, stateFolder, path }: OperatorContext): SshSurroundings => ({
  program: [...program, '--state', stateFolder, ...(path === undefined ? [] : ['--path', path])],
  knownHosts: `${stateFolder}/known_hosts`,
})
