import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { issueIdevid } from '#agent/factory/factory-certificates.ts'
import { type BoardIdentity, installIdevid, readBoardIdentity } from '#agent/io/board-identity.ts'
import { makeBoardKey } from '#agent/io/board-key.ts'
import type { OwnerPorts } from '#agent/io/board-owner.ts'
import { Floors } from '#agent/io/floors.ts'
import { noProxy } from '#agent/io/outer-proxy.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import { takeVouchers } from '#broker/factory/voucher-desk.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { Voucher } from '#shared/enrolment/voucher.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { silentLog } from '#shared/platform/log.ts'
import { instant, wallTime } from '#shared/time/instant.ts'
import type { ApiFixture, Enrolled } from '#test/broker/api/api-fixture.ts'
import type { BuiltFactory } from '#test/shared/enrolment/built-board.ts'
import { now } from '#test/shared/pki/built-chain.ts'

/** A board's clock that has never been set. */
const in1970 = { now: () => instant(performance.now()), wall: () => wallTime(0) }

/** A board that `factory` has made, with a state folder of its own. */
export async function makeBoard(t: TestContext, factory: BuiltFactory, serial: string): Promise<OwnerPorts> {
  const path = mkdtempSync(join(tmpdir(), 'adit-board-'))
  t.after(() => rmSync(path, { recursive: true }))
  const { key } = await makeBoardKey(path, suite)
  const leaf = issueIdevid(factory.ca, { serial, spki: p256Spki(key.publicKey) }, now, suite)
  const bundle = [leaf, factory.ca.certificate, factory.root.certificate].map(({ der }) => encodePem('CERTIFICATE', der)).join('')
  await installIdevid(path, bundle, suite)
  const board = (await readBoardIdentity(path, suite)) as BoardIdentity
  const floors = await Floors.open(join(path, 'floor'), in1970, silentLog)
  return { folder: await StateFolder.open(path), board, floors, suite, proxy: noProxy }
}

/** As a TLS client. */
export const asBoard = ({ board }: OwnerPorts): Pick<Enrolled, 'key' | 'cert'> => ({ key: board.keyPem!, cert: board.chainPem })

/** What the maker says to the owner of that broker. */
export const voucherFor = (fixture: ApiFixture, wish: Partial<Voucher> = {}): Partial<Voucher> => ({
  pinnedDomainCert: fixture.authority.rootDer,
  api: [fixture.api.url],
  ...wish,
})

/** The operator believes the maker and takes the voucher in. Returns it. */
export async function own(
  fixture: ApiFixture,
  factory: BuiltFactory,
  wish: Partial<Voucher> = {},
  name?: string,
): Promise<Uint8Array> {
  const cms = factory.signed(voucherFor(fixture, wish))
  await fixture.registry.factories.trust(factory.root.certificate, 'admin:test')
  await takeVouchers({ ...fixture, suite }, [cms], { name }, 'admin:test')
  return cms
}
