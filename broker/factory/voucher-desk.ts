import type { AuthorityFace } from '#broker/identity/authority.ts'
import type { CaStanding } from '#broker/identity/ca-standing.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { BoardWish, StoredVoucher } from '#broker/registry/vouchers.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { openVoucher } from '#shared/enrolment/signed-voucher.ts'
import { AditError } from '#shared/errors.ts'
import { reachableRoots } from '#shared/pki/root-succession.ts'
import type { Clock, WallTime } from '#shared/time/instant.ts'

interface DeskParts {
  registry: Pick<Registry, 'factories' | 'vouchers'>
  authority: Pick<AuthorityFace, 'standing'>
  suite: Suite
  clock: Clock
}

/**
 * Takes vouchers in, all or none: of a maker that is believed, for this fleet (whichever of its roots they
 * pin) and no other, not ended, none older than what is here.
 * `vouchers`: CMS DER. Throws AditError with the reason.
 */
export async function takeVouchers(
  { registry, authority, suite, clock }: DeskParts,
  vouchers: readonly Uint8Array[],
  wish: BoardWish,
  actor: string,
): Promise<StoredVoucher[]> {
  const { factories } = registry
  const judged = vouchers.map((cms) => {
    const signed = openVoucher(cms, factories.roots, suite)
    const { serial, pinnedDomainCert, expiresOn, nonce } = signed.voucher
    if (!leadsHere(pinnedDomainCert, authority.standing, clock.wall(), suite))
      throw new AditError(
        'voucher-foreign',
        `The voucher gives ${serial} to another fleet.`,
        'Ask the maker for one that pins the root that adit-broker ca show prints, or one that was before it.',
      )
    if (nonce !== undefined)
      throw new AditError(
        'voucher-foreign',
        `The voucher of ${serial} answers one request alone.`,
        'Ask the maker for one without a nonce.',
      )
    if (expiresOn !== undefined && expiresOn < clock.wall())
      throw new AditError('voucher-expired', `The voucher of ${serial} has ended.`, 'Ask the maker for a new one.')
    return { signed, cms, factory: factories.fingerprintOf(signed.factory) }
  })
  return registry.vouchers.import(judged, wish, actor)
}

/** Whether a board that is told to trust that root finds the way to one that is trusted now, over roots that each signed for the next. */
function leadsHere(
  pinned: Uint8Array,
  { knownRoots, trustedRoots, links }: Pick<CaStanding, 'knownRoots' | 'trustedRoots' | 'links'>,
  now: WallTime,
  suite: Suite,
): boolean {
  const from = knownRoots.filter(({ der }) => equalPublic(der, pinned))
  const told = { roots: knownRoots.map(({ der }) => der), links: links.map(({ der }) => der) }
  return reachableRoots(from, told, now, suite).some((root) => trustedRoots.some(({ der }) => equalPublic(der, root.der)))
}
