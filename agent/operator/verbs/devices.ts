import type { OperatorContext } from '#agent/operator/context.ts'
import type { Device } from '#agent/operator/operator-api.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { isAditError } from '#shared/errors.ts'
import { age, span } from '#shared/terminal/age.ts'
import { table } from '#shared/terminal/table.ts'

/** `adit devices`: the devices of your grants. `--data`: what their tunnels cost. `--json`: one array. */
export async function devices(context: OperatorContext, { data }: { data?: boolean } = {}): Promise<void> {
  const list = await (await context.api()).devices()
  if (context.json) return context.write(`${JSON.stringify(list)}\n`)
  if (list.length === 0) return context.write('No device is granted to you, or none has enrolled.\n')
  if (data) return context.write(table([dataHeader, ...list.map(dataRow)]))
  const now = context.clock.wall()
  await context.write(table([['NAME', 'STATE', 'SINCE', 'HEARD', 'ADDRESS', 'TAGS'], ...list.map((device) => row(device, now))]))
}

const row = ({ name, state, since, evidenceAgeSeconds, addresses, tags }: Device, now: number): string[] => [
  name,
  state,
  since === null ? '-' : age(Math.max(0, (now - Date.parse(since)) / 1000)),
  age(evidenceAgeSeconds),
  addresses[0] ?? '-',
  tags.join(','),
]

const dataHeader = ['NAME', 'MODE', 'SIGN', 'TODAY', 'MONTH', 'PROJECTED', 'BUDGET']

/** Sizes in 10^6 bytes at the interface; `~`: some of them estimated, since streams carried them. */
function dataRow({ name, data }: Device): string[] {
  if (data === undefined) return [name, '-', '-', '-', '-', '-', '-']
  const about = data.estimatedBytes > 0 ? '~' : ''
  const size = (bytes: number | null): string => (bytes === null ? '-' : `${about}${(bytes / 1e6).toFixed(2)} MB`)
  const { mode, paceSeconds, todayBytes, monthBytes, projectedMonthBytes, monthlyMegabytes } = data
  const sign = paceSeconds === null ? '-' : `each ${span(paceSeconds)}`
  const budget = monthlyMegabytes === null ? '-' : `${monthlyMegabytes} MB`
  return [name, mode, sign, size(todayBytes), size(monthBytes), size(projectedMonthBytes), budget]
}

/** The agent looks at its keys after the visit that ssh refused, and reports them within this, ms. */
const reportPatienceMs = 5_000
const lookMs = 500

/** ssh itself may have seen the changed key a moment before the broker hears of it. */
async function whenReported<T>(context: OperatorContext, accept: () => Promise<T>): Promise<T> {
  for (const from = context.clock.now(); ; await context.pause(lookMs)) {
    try {
      return await accept()
    } catch (error) {
      if (!isAditError(error) || error.code !== 'not-found' || context.clock.now() - from > reportPatienceMs) throw error
    }
  }
}

/** `adit devices accept-key DEVICE`: pins the host key that the device shows now. */
export async function acceptKey(context: OperatorContext, device: string, service: string): Promise<void> {
  const name = checkName(device)
  const accepted = await whenReported(context, async () => (await context.api()).acceptKey(name, service))
  // The tunnel process writes the new pin before it answers, so that the next ssh finds it.
  await context.tunnel().requestIfRunning({ op: 'device', device: name })
  if (context.json) return context.write(`${JSON.stringify(accepted)}\n`)
  await context.write(`Accepted ${accepted.keys.length} ${service} key${accepted.keys.length === 1 ? '' : 's'} of ${name}.\n`)
}
