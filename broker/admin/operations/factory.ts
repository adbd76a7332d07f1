import { z } from 'zod'
import { takeVouchers } from '#broker/factory/voucher-desk.ts'
import type { Factory } from '#broker/registry/factories.ts'
import type { StoredVoucher } from '#broker/registry/vouchers.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, isSelfIssued, isSignedBy, parseCertificate } from '#shared/pki/certificate.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names } from '#shared/pki/oids.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { isoTime } from '../iso-time.ts'
import type { Office } from '../office.ts'
import { labels, nothing, type Operation, operation } from '../operation.ts'

const trust = z.strictObject({ pem: z.string().max(64 * 1024) })
/** DER in base64 each: one question of the command line has some hundred of them. */
const taken = z.strictObject({
  vouchers: z.array(z.string().max(90_000)).min(1).max(1_000),
  name: z.string().optional(),
  tags: labels,
})
const serial = z.strictObject({ serial: z.string() })

/** `adit-broker factory …` and `adit-broker voucher …`. */
export const factoryOperations: Record<string, Operation> = {
  'factory.trust': operation(trust, async ({ registry, authority, suite, actor }, { pem }) => {
    const root = rootIn(pem)
    if (equalPublic(suite.hash('sha256', root.der), authority.rootFingerprint)) throw ownRoot()
    return factoryDocument(await registry.factories.trust(root, actor))
  }),
  'factory.list': operation(nothing, ({ registry }) => registry.factories.all().map(factoryDocument)),
  'factory.remove': operation(z.strictObject({ fingerprint: z.string() }), async ({ registry, actor }, { fingerprint }) =>
    factoryDocument(await registry.factories.remove(fingerprint, actor)),
  ),
  'voucher.import': operation(taken, async (office, { vouchers, name, tags }) => {
    const cms = vouchers.map((text) => Uint8Array.from(Buffer.from(text, 'base64')))
    return (await takeVouchers(office, cms, { name, tags }, office.actor)).map((one) => voucherDocument(one, office))
  }),
  'voucher.list': operation(nothing, async (office) =>
    (await office.registry.vouchers.list()).map((one) => voucherDocument(one, office)),
  ),
  'voucher.again': operation(serial, async (office, { serial: text }) =>
    voucherDocument(await office.registry.vouchers.again(text.toLowerCase(), office.actor), office),
  ),
  'voucher.remove': operation(serial, async (office, { serial: text }) =>
    voucherDocument(await office.registry.vouchers.remove(text.toLowerCase(), office.actor), office),
  ),
}

const factoryDocument = ({ fingerprint, root, addedAt }: Factory) => ({
  fingerprint,
  name: valuesOf(root.subjectName, names.commonName)[0] ?? null,
  added: isoTime(addedAt),
})

function voucherDocument(voucher: StoredVoucher, { registry, clock }: Office) {
  const { serial, factory, createdOn, expiresOn, importedAt, name, tags, principalId } = voucher
  const device = principalId === undefined ? undefined : registry.devices.list().find(({ id }) => id === principalId)
  return {
    serial,
    factory,
    created: isoTime(createdOn),
    expires: expiresOn === undefined ? null : isoTime(expiresOn),
    imported: isoTime(importedAt),
    name: name ?? null,
    tags,
    device: device?.name ?? null,
    state: voucherState(voucher, device?.revokedAt !== undefined, clock.wall()),
  }
}

/** `ended`: the device that its board became has been revoked; adit-broker voucher again lets the board in once more. */
export const voucherState = (
  { principalId, expiresOn }: Pick<StoredVoucher, 'principalId' | 'expiresOn'>,
  isRevoked: boolean,
  now: number,
): 'enrolled' | 'ended' | 'expired' | 'waiting' => {
  if (principalId !== undefined) return isRevoked ? 'ended' : 'enrolled'
  return expiresOn !== undefined && expiresOn < now ? 'expired' : 'waiting'
}

/** One root that has signed itself: whoever trusts it ought to have its maker's word for the fingerprint. */
function rootIn(pem: string): Certificate {
  try {
    const [root, ...others] = decodePem('CERTIFICATE', pem).map(parseCertificate)
    if (root === undefined || others.length > 0) throw new PkiError('certificate-malformed', 'not one certificate')
    if (!isSelfIssued(root) || root.extensions.basicConstraints?.ca !== true || !isSignedBy(root, root))
      throw new PkiError('issuer-not-ca', 'not a root')
    return root
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause
    throw new AditError('usage', `This is no root of a maker: ${cause.message}.`, askTheMaker, { cause })
  }
}

const askTheMaker = 'Ask the maker of the boards for its root: adit factory trust-anchor.'
const ownRoot = (): AditError =>
  new AditError('usage', 'This is the root of this very fleet, and no maker of boards.', askTheMaker)
