import { join, resolve } from 'node:path'
import { issueIdevid } from '#agent/factory/factory-certificates.ts'
import { type FactoryOptions, openFactory } from '#agent/factory/factory-options.ts'
import { readBoard, writeBoard } from '#agent/factory/io/board-record.ts'
import type { FactoryFolder } from '#agent/factory/io/factory-folder.ts'
import { installIdevid } from '#agent/io/board-identity.ts'
import { makeBoardKey } from '#agent/io/board-key.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { verifyStockRequest } from '#shared/pki/request.ts'
import { makePrivateDirectory, readIfPresent, writeDurably } from '#shared/platform/files.ts'

export interface IdevidOptions extends FactoryOptions {
  /** State folder of the board; of several boards, the folder of their state folders. */
  into?: string
  /** PKCS#10 in PEM, made on the board. */
  csr?: string
  out?: string
  /** Why a serial number gets an IDevID for another key. */
  replace?: string
}

/** `adit factory idevid SERIAL…`: an IDevID for a key that the board has made, or for one that is made here. */
export async function factoryIdevid(context: OperatorContext, typed: readonly string[], options: IdevidOptions): Promise<void> {
  const serials = typed.map(checkSerial)
  if ((options.into === undefined) === (options.csr === undefined) || (options.csr !== undefined && serials.length !== 1))
    throw new AditError(
      'usage',
      'Where the key is must be said.',
      'Give --into DIR, or --csr FILE for one board that made its own.',
    )
  const factory = await openFactory(context, options)
  const ca = await factory.openIdevidCa()
  for (const serial of serials) {
    if (options.csr !== undefined) await certifyRequest(context, { factory, ca, serial }, options.csr, options)
    else
      await makeInto(
        context,
        { factory, ca, serial },
        serials.length === 1 ? options.into! : join(options.into!, serial),
        options,
      )
  }
}

interface Board {
  factory: FactoryFolder
  ca: Ca
  serial: string
}

async function certifyRequest(context: OperatorContext, board: Board, csr: string, options: IdevidOptions): Promise<void> {
  const bundle = await certify(context, board, await keyIn(csr), options)
  if (options.out !== undefined) await writeDurably(resolve(options.out), bundle, { mode: 0o644 })
  else if (!context.json) await context.write(bundle)
  if (context.json) return context.write(`${JSON.stringify({ serial: board.serial, bundle })}\n`)
  context.note('On the board: adit-agent idevid install FILE')
}

async function makeInto(context: OperatorContext, board: Board, into: string, options: IdevidOptions): Promise<void> {
  const path = resolve(into)
  await makePrivateDirectory(path)
  const { key } = await makeBoardKey(path, suite)
  await installIdevid(path, await certify(context, board, p256Spki(key.publicKey), options), suite)
  if (context.json) return context.write(`${JSON.stringify({ serial: board.serial, folder: path })}\n`)
  await context.write(`${board.serial}  ${path}\n`)
}

/** PEM of the IDevID, its issuer and the root. The record is on disk before it. */
async function certify(
  { clock }: OperatorContext,
  { factory, ca, serial }: Board,
  spki: Uint8Array,
  { replace }: IdevidOptions,
): Promise<string> {
  const hash = toHex(suite.hash('sha256', spki))
  const record = await readBoard(factory.path, serial)
  const last = record.idevids.at(-1)
  if (last && last.spki !== hash && replace === undefined) throw otherKey(serial)
  const now = clock.wall()
  if (last?.spki !== hash) {
    const idevid = { spki: hash, at: now, ...(last && replace !== undefined && { reason: replace }) }
    await writeBoard(factory.path, { ...record, idevids: [...record.idevids, idevid] })
  }
  const leaf = issueIdevid(ca, { serial, spki }, now, suite)
  return [leaf, ca.certificate, factory.root].map(({ der }) => encodePem('CERTIFICATE', der)).join('')
}

async function keyIn(file: string): Promise<Uint8Array> {
  const bytes = await readIfPresent(resolve(file))
  if (bytes === undefined) throw new AditError('not-found', `There is no file ${file}.`, makeRequest)
  const pem = Buffer.from(bytes).toString('latin1')
  try {
    const [der] = decodePem('CERTIFICATE REQUEST', pem)
    if (der === undefined) throw new PkiError('request-malformed', 'no request in PEM')
    const { spki, kind } = verifyStockRequest(der)
    if (kind !== 'p256') throw new PkiError('key-unsupported', 'a key that is not of P-256')
    return spki
  } catch (cause) {
    if (!(cause instanceof PkiError)) throw cause
    const message = `${file} holds no request that can be used: ${cause.message}.`
    throw new AditError('request-refused', message, makeRequest, { cause })
  }
}

const makeRequest = 'Make one on the board: adit-agent idevid request --serial SERIAL > FILE'

const otherKey = (serial: string): AditError =>
  new AditError(
    'factory-refused',
    `The board ${serial} has an IDevID for another key already.`,
    'If its board was replaced or its key lost, say so: --replace "REASON".',
  )
