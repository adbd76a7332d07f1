import { join, resolve } from 'node:path'
import { type FactoryOptions, openFactory } from '#agent/factory/factory-options.ts'
import { readBoard, writeBoard } from '#agent/factory/io/board-record.ts'
import type { FactoryFolder } from '#agent/factory/io/factory-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { isHttpsUrl, isLiteral } from '#shared/enrolment/claim.ts'
import { signVoucher } from '#shared/enrolment/signed-voucher.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { encodeVoucher, type Voucher } from '#shared/enrolment/voucher.ts'
import { AditError } from '#shared/errors.ts'
import { parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { authorityKeyIdentifier, keyIdentifier } from '#shared/pki/certificate-writer.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { readIfPresent, writeDurably } from '#shared/platform/files.ts'
import { days, type WallTime, wallTime } from '#shared/time/instant.ts'

export interface VoucherOptions extends FactoryOptions {
  /** PEM of the owner's root. */
  owner: string
  api: readonly string[]
  address: readonly string[]
  fleetKey?: string
  /** Life; for ever where it is left out. */
  days?: number
  /** A file; of several boards, a folder that exists. */
  out?: string
}

/** `adit factory voucher SERIAL…`: says who owns a board from now on. */
export async function factoryVoucher(context: OperatorContext, typed: readonly string[], options: VoucherOptions): Promise<void> {
  const serials = typed.map(checkSerial)
  const owner = await ownerOf(options)
  if (serials.length > 1 && options.out === undefined)
    throw new AditError('usage', 'Several vouchers need a folder.', 'Give --out DIR: each goes to DIR/SERIAL.voucher.')
  const factory = await openFactory(context, options)
  const signer = await factory.openVoucherSigner()
  for (const serial of serials) {
    const { voucher, pem, isKnown } = await issue(factory, signer, { ...owner, serial }, context.clock.wall(), options.days)
    const file = serials.length > 1 ? join(options.out!, `${serial}.voucher`) : options.out
    if (file !== undefined) await writeDurably(resolve(file), pem, { mode: 0o644 })
    const said = { serial, createdOn: iso(voucher.createdOn), ...(file ? { file: resolve(file) } : { voucher: pem }) }
    if (context.json) await context.write(`${JSON.stringify(said)}\n`)
    else await context.write(file === undefined ? pem : `${serial}  ${resolve(file)}\n`)
    if (!isKnown)
      context.note(
        `No board ${serial} has an IDevID of this factory yet. If that is no mistake: adit factory idevid ${serial} --into DIR`,
      )
  }
  context.note('The owner takes it in: adit-broker voucher import FILE. Or on the board itself: adit-agent enrol --voucher FILE')
}

type Owner = Pick<Voucher, 'pinnedDomainCert' | 'api' | 'addresses' | 'fleetKey'>

/** Later than every other voucher of the board, even where the clock went back. The record is on disk before the voucher is out. */
async function issue(
  factory: FactoryFolder,
  signer: Ca,
  owner: Owner & { serial: string },
  now: WallTime,
  life: number | undefined,
): Promise<{ voucher: Voucher; pem: string; isKnown: boolean }> {
  const record = await readBoard(factory.path, owner.serial)
  const last = record.vouchers.at(-1)?.createdOn
  const createdOn = wallTime(Math.max(Math.floor(now / 1000) * 1000, last === undefined ? 0 : last + 1000))
  const voucher: Voucher = {
    ...owner,
    createdOn,
    ...(life !== undefined && { expiresOn: wallTime(createdOn + days(life)) }),
    assertion: 'verified',
    idevidIssuer: authorityKeyIdentifier(keyIdentifier(factory.idevidCa.spki, suite)),
  }
  const said = {
    createdOn,
    owner: toHex(suite.hash('sha256', owner.pinnedDomainCert)),
    digest: toHex(suite.hash('sha256', encodeVoucher(voucher))),
  }
  await writeBoard(factory.path, { ...record, vouchers: [...record.vouchers, said] })
  return { voucher, pem: encodePem('CMS', signVoucher(voucher, signer, suite)), isKnown: record.idevids.length > 0 }
}

async function ownerOf({ owner, api, address, fleetKey }: VoucherOptions): Promise<Owner> {
  if (api.length < 1 || api.length > 8 || !api.every(isHttpsUrl))
    throw new AditError(
      'usage',
      "Where the owner's API answers must be said.",
      'Give --api https://HOST:PORT, up to eight times.',
    )
  if (address.length > 8 || !address.every(isLiteral))
    throw new AditError(
      'usage',
      'An address of the owner is none.',
      'Give --address 192.0.2.1, up to eight times, or leave it out.',
    )
  return {
    pinnedDomainCert: await rootIn(owner),
    api,
    ...(address.length > 0 && { addresses: address }),
    ...(fleetKey !== undefined && { fleetKey: parseFleetKey(fleetKey) }),
  }
}

async function rootIn(file: string): Promise<Uint8Array> {
  const bytes = await readIfPresent(resolve(file))
  const mend = 'Give the one root that adit-broker ca show prints at the owner.'
  if (bytes === undefined) throw new AditError('not-found', `There is no file ${file}.`, mend)
  try {
    const [der, ...others] = decodePem('CERTIFICATE', Buffer.from(bytes).toString('latin1'))
    if (der !== undefined && others.length === 0 && parseCertificate(der).extensions.basicConstraints?.ca === true) return der
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
  }
  throw new AditError('usage', `${file} is not one certificate of an authority in PEM.`, mend)
}

const iso = (at: WallTime): string => new Date(at).toISOString()
