import type { OpenStation } from '#agent/station/io/open-station.ts'
import type { StationContext } from '#agent/station/io/station-context.ts'
import { type StationParts, termsOf } from '#agent/station/io/station-folder.ts'
import { lineTokenIn } from '#agent/station/ways/line-token.ts'
import type { WayParts } from '#agent/station/ways/way-of.ts'
import { AditError } from '#shared/errors.ts'
import { hours } from '#shared/time/instant.ts'

/** Boards of one image that may come to the line, and for how long its token is taken. */
const tokenQuota = 10_000
const tokenLife = hours(24)

/** Where the label of a unit leads. */
export const pairingOf = ({ identity }: StationParts): string => `${identity.record.api[0]}/pair`

/** What the ways take from a station: who it is to boards, and what those learn of the fleet. */
export async function wayParts(
  { parts }: OpenStation,
  context: Pick<StationContext, 'ports' | 'path' | 'note' | 'json' | 'write'>,
): Promise<WayParts> {
  const { suite, clock, log } = context.ports()
  const { identity } = parts
  const { rootPem, keys } = identity
  const certificates = await identity.folder.certificates()
  if (keys.identityPem === undefined || certificates === undefined)
    throw new AditError(
      'feature-missing',
      'The identity key of a station is in a file.',
      'Make the station anew: adit station init',
    )
  return {
    suite,
    clock,
    log,
    terms: termsOf(parts),
    identity: { keyPem: keys.identityPem, chainPem: certificates.chain, rootPem },
    token: await lineTokenIn(context.path, { ttl: tokenLife, quota: tokenQuota }, suite, clock),
    onToken(token) {
      if (context.json) void context.write(`${JSON.stringify({ event: 'line', token })}\n`)
      else context.note(`The boards' image needs this token: ${token}`)
    },
  }
}
