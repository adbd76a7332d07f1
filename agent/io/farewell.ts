import type { Suite } from '#shared/crypto/suite.ts'
import { toAditError } from '#shared/errors.ts'
import { signEvidence } from '#shared/fleet/wipe-evidence.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import type { Log } from '#shared/platform/log.ts'
import { pause } from '#shared/platform/pause.ts'
import type { Timers } from '#shared/platform/timers.ts'
import { Backoff, uniform } from '#shared/time/backoff.ts'
import { minutes, seconds } from '#shared/time/instant.ts'
import type { Identity } from './identity.ts'
import { carryOutWipe, forgetUnheard, type WipeMarker } from './wipe.ts'

export interface FarewellOptions {
  readonly suite: Suite
  readonly timers: Timers
  readonly log: Log
  readonly state: string
  /** Undefined where the folder is not enrolled any more, or was never whole. */
  identity(): Promise<Identity | undefined>
  /** Ends the wait for a broker that does not answer; the next start goes on. */
  readonly stopped: AbortSignal
}

/** With the pauses below, some two days: then the keys die unheard. */
const mostTries = 300

/**
 * Carries out an order that was begun, to its end, and asks a broker that does not answer again and again. Returns the claim of the next
 * fleet, if any; `stopped` where it was told to stop before; undefined where nothing was begun.
 */
export async function sayFarewell(options: FarewellOptions): Promise<{ next?: string } | 'stopped' | undefined> {
  const { suite, timers, log, state, stopped } = options
  const backoff = new Backoff(
    { base: seconds(1), cap: minutes(10) },
    uniform((length) => suite.random(length)),
  )
  for (;;) {
    try {
      return await carryOutWipe(state, (marker) => report(options, marker))
    } catch (error) {
      const { code, message } = toAditError(error)
      log.warn({ code, message }, 'the broker could not be told that this device forgets it')
    }
    await pause(timers, backoff.next(), stopped)
    if (stopped.aborted) return 'stopped'
  }
}

async function report(options: FarewellOptions, { order, erased, left, tries }: WipeMarker): Promise<void> {
  const { suite, state } = options
  const identity = await options.identity().catch(() => undefined)
  if (identity === undefined || tries >= mostTries) {
    options.log.error({ order, tries }, 'nobody can be told that this device forgets its fleet')
    await forgetUnheard(state)
    return
  }
  const fleet = fleetIdOf(parseCertificate(identity.root), suite)
  const evidence = signEvidence({ order, fleet, at: identity.floors.time.now(), erased, left }, identity.keys.identity, suite)
  try {
    await identity.api().farewell(evidence)
  } finally {
    identity.close()
  }
}
