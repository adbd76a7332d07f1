import { readFile } from 'node:fs/promises'
import { installIdevid, readBoardIdentity } from '#agent/io/board-identity.ts'
import { boardToken, makeBoardKey } from '#agent/io/board-key.ts'
import { boardSerial } from '#agent/io/board-serial.ts'
import { readStandardInput } from '#agent/io/read-standard-input.ts'
import { StateFolder, stateFolderPath } from '#agent/io/state-folder.ts'
import { boardKeyLabel, parseTokenUri } from '#agent/io/token-place.ts'
import { readVoucherLedger } from '#agent/io/voucher-ledger.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { openVoucher } from '#shared/enrolment/signed-voucher.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { createRequest } from '#shared/pki/request.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import { unreadableFile } from '#shared/platform/unreadable-file.ts'
import type { IdevidFlags } from '../command-line.ts'
import { runNext } from '../run-next.ts'

/** `adit-agent idevid request`: the key is made here, in a file or in a token, and stays here. */
export async function idevidRequestVerb(flags: IdevidFlags): Promise<void> {
  const place = flags.pkcs11 === undefined ? undefined : parseTokenUri(flags.pkcs11, boardKeyLabel)
  await withFolder(flags, 'adit-agent idevid request', async (folder) => {
    const serial = checkSerial(flags.serial ?? (await boardSerial()) ?? noSerial())
    const { key } = await makeBoardKey(folder.path, suite, place, await folder.tokenPlace())
    const pem = encodePem('CERTIFICATE REQUEST', createRequest({ name: serial, identity: key }, suite))
    process.stdout.write(flags.json ? `${JSON.stringify({ serial, request: pem })}\n` : pem)
  })
}

/** `adit-agent idevid install FILE` */
export async function idevidInstallVerb(file: string, flags: IdevidFlags): Promise<void> {
  const bundle = file === '-' ? await readStandardInput(bundleLimit) : await readFile(file).catch(unreadableFile(file, nameIt))
  await withFolder(flags, 'adit-agent idevid install', async ({ path }) => {
    const { serial, factory } = await installIdevid(path, Buffer.from(bundle).toString('latin1'), suite)
    const fingerprint = toHex(suite.hash('sha256', factory.der))
    process.stdout.write(
      flags.json
        ? `${JSON.stringify({ serial, factory: fingerprint, state: path })}\n`
        : `This board is ${serial} of the factory ${fingerprint.slice(0, 16)}. ${runNext(path)}\n`,
    )
  })
}

/** `adit-agent idevid show` */
export async function idevidShowVerb(flags: IdevidFlags): Promise<void> {
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const board = await readBoardIdentity(folder.path, suite)
  if (board === undefined)
    throw new AditError('not-found', `No maker has given ${folder.path} an IDevID.`, 'Ask for one: adit-agent idevid request')
  const ledger = await readVoucherLedger(folder.path)
  const voucher = ledger && openVoucher(ledger.voucher, [board.factory], suite).voucher
  const token = await boardToken(folder.path)
  const document = {
    serial: board.serial,
    token: token === undefined ? null : token.token,
    factory: toHex(suite.hash('sha256', board.factory.der)),
    owner: voucher === undefined ? null : toHex(suite.hash('sha256', voucher.pinnedDomainCert)),
    api: voucher?.api ?? [],
    since: voucher === undefined ? null : new Date(voucher.createdOn).toISOString(),
    stage: ledger?.stage ?? null,
  }
  if (flags.json) process.stdout.write(`${JSON.stringify(document)}\n`)
  else {
    process.stdout.write(`serial   ${document.serial}\nfactory  ${document.factory}\n`)
    if (token) process.stdout.write(`key      "${token.key}" in the token "${token.token}" (${token.module})\n`)
    process.stdout.write(
      voucher ? `owner    ${document.owner} since ${document.since} (${document.stage})\n` : 'owner    none yet\n',
    )
  }
}

/** Three certificates in PEM. */
const bundleLimit = 64 * 1024

async function withFolder(flags: IdevidFlags, purpose: string, work: (folder: StateFolder) => Promise<void>): Promise<void> {
  const folder = await StateFolder.open(stateFolderPath(flags.state, 'adit-agent'))
  const lock = await lockFolder(folder.path, purpose)
  try {
    await work(folder)
  } finally {
    await lock.release()
  }
}

const noSerial = (): never => {
  throw new AditError(
    'serial-invalid',
    'This board does not tell its serial number.',
    'Say it: adit-agent idevid request --serial NUMBER',
  )
}

const nameIt = 'Name what adit factory idevid --csr has made.'
