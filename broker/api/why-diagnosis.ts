import { type Link, spanText } from '#broker/api/why-link.ts'
import type { DiagnosisStore } from '#broker/registry/diagnoses.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** An examination takes seconds, and the last packet may have been heard while it lasted, ms. */
const slackMs = 60_000
/** What a living device said of itself counts so long; it says it again when it changes, ms. */
const freshMs = 2 * 3_600_000
/** "Look at it from the other end", which is here. */
const pointsHere = 'handshake-unanswered'
/** A device that is heard contradicts most of what it said while it was not. These lie behind the tunnel. */
const behindTheTunnel = new Set(['service-down', 'disk-full', 'storage-degraded'])
/** What it said of how it gets here holds for as long as its tunnel is up. */
const lasting = new Set(['nat64'])

export interface SelfWord {
  /** Lines that name a cause, to be placed before what they explain. */
  readonly causes: readonly Link[]
  /** The rest of what it said. */
  readonly remarks: readonly Link[]
}

/**
 * What the device's own doctor said last. For a device that is not heard, what it said since then is the nearest to a cause that there is;
 * for one that is up, only what lies behind the tunnel can still be broken.
 */
export async function selfWord(
  device: Principal,
  { up, lastHeard, since }: { up: boolean; lastHeard: number | undefined; since: number | undefined },
  store: Pick<DiagnosisStore, 'of'>,
  now: WallTime,
): Promise<SelfWord> {
  const said = await store.of(device.id)
  if (said === undefined || said.findings.length === 0) return { causes: [], remarks: [] }
  const ageMs = Math.max(0, now - said.at)
  const isCurrent = up ? ageMs <= freshMs : said.at >= (lastHeard ?? 0) - slackMs
  const isLasting = ({ code }: { code: string }): boolean =>
    lasting.has(code) && (isCurrent || (up && said.at >= (since ?? Number.POSITIVE_INFINITY) - slackMs))
  const lines = said.findings
    .filter(({ state, code }) => state !== 'ok' || lasting.has(code))
    .map(({ code, state, text, mend }) => ({ code, state, text: `${device.name} said ${spanText(ageMs)} ago: ${text}`, mend }))
  const isCause = ({ state, code }: Link): boolean =>
    isCurrent && state === 'broken' && (up ? behindTheTunnel.has(code) : code !== pointsHere)
  // What it has outlived is a remark.
  const remark = (line: Link): Link => (line.state === 'broken' ? { ...line, state: 'warn' } : line)
  return {
    causes: lines.filter(isCause),
    remarks: lines.filter((line) => (isCurrent || isLasting(line)) && !isCause(line)).map(remark),
  }
}
