import type { Facts, NatFact } from '#agent/doctor/facts.ts'
import { discoverBehaviour } from '#agent/io/nat-behaviour.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import type { Clock } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

interface Asked {
  readonly suite: Suite
  readonly clock: Clock
  /** The broker's STUN servers, its own port first. */
  readonly servers: readonly Endpoint[]
  /** What the running agent has learned of this network. */
  readonly learned: Pick<NatFact, 'lifetimeSeconds' | 'keepaliveSeconds'>
}

/** Which kind of NAT is in between (RFC 4787), and how long it remembers. Where nothing answers, nothing is known. */
export async function probeNat({ servers, learned, ...ports }: Asked): Promise<NonNullable<Facts['nat']> | undefined> {
  const { reflexive, translated, mapping } = await discoverBehaviour({ ...ports, timers: systemTimers, servers })
  if (reflexive === undefined) return undefined
  if (translated === false) return { mapping: 'none', ...learned }
  // More than one kind fits: then none is said.
  const [only, ...others] = mapping
  return { mapping: only === undefined || others.length > 0 ? 'unknown' : only, ...learned }
}
