import { endpointText } from '#shared/wire/endpoint.ts'
import type { Evidence } from '../evidence.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'

const littleDisk = 16 * 1024 * 1024

/** What waits behind the tunnel: the services that it leads to, and the storage of readings. */
export function localMachine({ facts }: Evidence): Finding[] {
  return [...services(facts), ...storage(facts)]
}

function services({ services: found = [] }: Evidence['facts']): Finding[] {
  return found.map(({ name, target, reached }) => {
    const place = endpointText(target)
    if (reached === 'open') return ok('service', `The service ${name} listens at ${place}.`)
    const program = name.startsWith('ssh') ? 'Start it: systemctl start ssh' : 'Start the program'
    const text = `The service ${name} is ${reached === 'refused' ? 'not running' : 'silent'} at ${place}.`
    return broken('service-down', text, `${program}; or name the right place: adit-agent run --service ${name}=ADDR:PORT.`)
  })
}

function storage({ agent, disk }: Evidence['facts']): Finding[] {
  const state = agent?.kind === 'running' ? agent.storage : undefined
  if (disk !== undefined && disk.freeBytes < littleDisk) {
    const text = `The disk of ${disk.path} is full (${Math.floor(disk.freeBytes / 1024 / 1024)} MB free).`
    return [
      (disk.freeBytes < 1024 * 1024 || state?.state === 'degraded' ? broken : warn)(
        'disk-full',
        text,
        'Make room on it; readings are refused until then.',
      ),
    ]
  }
  if (state?.state === 'degraded')
    return [
      broken(
        'storage-degraded',
        `Readings cannot be kept: ${state.error ?? 'the storage fails'}`,
        'Look at the disk and the rights of the state folder.',
      ),
    ]
  if (state === undefined) return []
  if ((state.dropped ?? 0) > 0)
    return [
      warn(
        'outbox-shed',
        `The outbox was full and dropped ${state.dropped} readings.`,
        'Raise outbox.readings or outbox.megabytes, or report less often.',
      ),
    ]
  return [ok('storage', `The outbox works, ${state.waiting ?? 0} readings wait.`)]
}
