import type { Principal } from '#broker/registry/principal.ts'
import { isoTime } from './iso-time.ts'
import type { LiveTunnel } from './office.ts'

/** A device or an operator as the administrator sees it. */
export const document = (principal: Principal, now: number): object => ({
  id: principal.publicId,
  name: principal.name,
  kind: principal.kind,
  state: stateOf(principal, now),
  addresses: principal.addresses,
  keys: principal.identityKeys,
  tags: principal.tags,
  ...(principal.kind === 'operator' ? { groups: principal.groups, admin: principal.admin } : {}),
  suite: principal.ipsec === undefined ? 'noise' : 'esp',
  wireguard: principal.stock && principal.ipsec === undefined,
  ipsec: principal.ipsec === undefined ? null : ipsecOf(principal.ipsec),
  subnets: principal.subnets,
  data: principal.data ?? null,
  created: isoTime(principal.createdAt),
  expires: isoTime(principal.expiresAt),
  revoked: isoTime(principal.revokedAt),
})

/** How its tunnel stands; null where no broker runs. */
export const tunnelDocument = (live: LiveTunnel | undefined): object | null =>
  live === undefined
    ? null
    : {
        state: live.presence.state,
        suite: live.presence.suite ?? null,
        endpoint: live.presence.endpoint ?? null,
        since: isoTime(live.presence.since),
        heard: isoTime(live.presence.lastAuthentic),
        keepalive: isoTime(live.presence.lastHint),
        ike: live.esp?.ike ?? null,
        childSas: live.esp?.childSas ?? [],
      }

const ipsecOf = ({ pskKey, identity, ikeProposals, espProposals }: NonNullable<Principal['ipsec']>): object => ({
  identity,
  proof: pskKey === undefined ? 'certificate' : 'psk',
  // Empty: what the broker allows everybody.
  ike: ikeProposals,
  esp: espProposals,
})

const stateOf = ({ revokedAt, expiresAt }: Principal, now: number): string =>
  revokedAt !== undefined ? 'revoked' : expiresAt !== undefined && now >= expiresAt ? 'expired' : 'enrolled'
