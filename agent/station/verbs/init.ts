import { readToken } from '#agent/io/read-token.ts'
import { initStation } from '#agent/station/io/init-station.ts'
import type { StationContext } from '#agent/station/io/station-context.ts'

/** `adit station init --claim TOKEN|-`: makes this folder a station's. */
export async function init(context: StationContext, { claim }: { claim: string }): Promise<void> {
  const token = await readToken(claim)
  const onProgress = (step: string): void => context.note(step)
  const { identity, own } = await initStation({ ...context.ports(), path: context.path, token, onProgress })
  identity.close()
  const { station, names, first, last, quota, tags, notAfter } = own.delegation
  const until = new Date(notAfter).toISOString()
  const made = { event: 'station', station, names, first, last, quota, tags, until, state: context.path }
  await context.print(made, () => `Station ${station}: ${quota} units ${names}, numbers ${first} to ${last}, until ${until}.\n`)
}
