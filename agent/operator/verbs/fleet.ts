import { join, resolve } from 'node:path'
import { alreadyPinned, readPin, savePin } from '#agent/io/fleet-keeper.ts'
import { StateFolder } from '#agent/io/state-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { askYesNo } from '#agent/operator/io/ask-person.ts'
import { makeFleetKey, readFleetKey, readPublicHalf, replaceFleetKey } from '#agent/operator/io/fleet-key-file.ts'
import { readPendingFile, writeSignedFile } from '#agent/operator/io/signing-files.ts'
import { readSigningRecord, writeSigningRecord } from '#agent/operator/io/signing-record.ts'
import type { PendingStatements } from '#agent/operator/operator-api.ts'
import { draftsIn, StatementSigning } from '#agent/operator/statement-signing.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { KeyPair } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { keyFingerprint, parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import type { Statement } from '#shared/fleet/statement.ts'
import { statementWords } from '#shared/fleet/statement-words.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { fleetIdOf } from '#shared/pki/fleet-id.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { askPassphrase } from '#shared/platform/ask-passphrase.ts'
import { days } from '#shared/time/instant.ts'

export interface FleetKeyOptions {
  /** Where the private key lies: STATE/fleet-key.pem. */
  key?: string
  /** Its passphrase is the file's first line. */
  passphraseFile?: string
}

/** `adit fleet init`: makes the key, which never leaves this machine by adit's doing. */
export async function fleetInit(context: OperatorContext, options: FleetKeyOptions & { passphrase?: boolean }): Promise<void> {
  const path = keyPath(context, options)
  const wanted = options.passphrase || options.passphraseFile !== undefined
  const passphrase = wanted ? await askPassphrase(options.passphraseFile, { twice: true }) : undefined
  const { publicKey } = await makeFleetKey(path, passphrase)
  const key = toText(publicKey)
  if (context.json)
    return context.write(`${JSON.stringify({ key, fingerprint: keyFingerprint(publicKey, suite), file: path })}\n`)
  await context.write(`${key}\n`)
  context.note(`Fingerprint, to compare by voice: ${keyFingerprint(publicKey, suite)}`)
  context.note(
    `The private key is ${path}. Copy it to two places that do not burn together: whoever has it opens every device, and`,
  )
  context.note(
    'without it each device must be pinned anew by hand. Next, at the broker: adit-broker fleet pin PUBLICKEY; then: adit fleet sign.',
  )
}

/** `adit fleet show`: the public half of the key here, and what this machine has pinned. */
export async function fleetShow(context: OperatorContext, options: FleetKeyOptions): Promise<void> {
  const own = await publicKeyOf(context, options)
  const pinned = await readPin(await StateFolder.open(context.stateFolder))
  if (own === undefined && pinned === undefined)
    throw new AditError(
      'not-found',
      'There is no fleet key here, and none is pinned.',
      'Make one: adit fleet init. Or pin one: adit fleet pin KEY.',
    )
  if (context.json) return context.write(`${JSON.stringify({ own: describe(own), pinned: describe(pinned) })}\n`)
  if (own) await context.write(`${toText(own)}\n`)
  if (own) context.note(`Fingerprint of the key here: ${keyFingerprint(own, suite)}`)
  context.note(
    pinned
      ? `Pinned on this machine: ${keyFingerprint(pinned, suite)}`
      : "No key is pinned on this machine: the broker's word counts.",
  )
}

/** `adit fleet pin [PUBLICKEY]`: this machine believes that key and no other; without one, the key that lies here. */
export async function fleetPin(
  context: OperatorContext,
  typed: string | undefined,
  options: FleetKeyOptions & { replace?: boolean },
): Promise<void> {
  const key = typed === undefined ? await publicKeyOf(context, options) : parseFleetKey(typed)
  if (key === undefined)
    throw new AditError('usage', 'There is no fleet key here to pin.', 'Give the public key: adit fleet pin PUBLICKEY.')
  const folder = await StateFolder.open(context.stateFolder)
  const before = await readPin(folder)
  if (before !== undefined && !equalPublic(before, key) && !options.replace) throw alreadyPinned(keyFingerprint(before, suite))
  // A tunnel that runs believes whom it believed when it started.
  await context.tunnel().requestIfRunning({ op: 'stop' })
  await savePin(folder, key)
  if (context.json) return context.write(`${JSON.stringify(describe(key))}\n`)
  context.note(`Pinned. Compare the fingerprint: ${keyFingerprint(key, suite)}`)
}

export interface FleetSignOptions extends FleetKeyOptions {
  yes?: boolean
  /** Life of a statement whose subject has no end of its own. */
  days: number
  /** Files in place of the broker's API: what waits, and what was signed; - for standard input and output. */
  in?: string
  out?: string
}

/** `adit fleet sign`: shows what waits for the key, asks, signs, and hands it in. */
export async function fleetSign(context: OperatorContext, options: FleetSignOptions): Promise<void> {
  if ((options.in === undefined) !== (options.out === undefined))
    throw new AditError('usage', '--in and --out go together.', 'Without them, the broker is asked and answered.')
  const pair = await pairOf(context, options)
  if (options.in !== undefined) {
    const document = await readPendingFile(options.in)
    return signFile(context, document, pair, options as FleetSignOptions & { out: string })
  }
  const api = await context.api()
  let after: string | undefined
  const totals = { signed: 0, skipped: 0 }
  for (;;) {
    const document = await api.pendingStatements({ ...(after !== undefined && { after }) })
    tellUnsayable(context, document)
    requireKey(document, pair)
    const { chosen, skipped, signing } = await choose(context, document, pair, options)
    const statements = chosen.map((draft) => toText(signing.sign(draft)))
    await remember(context, document, signing)
    for (const batch of batches(statements)) await api.submitStatements(batch)
    totals.signed += statements.length
    totals.skipped += skipped
    after = document.pending.at(-1)?.subject
    if (after === undefined) break
  }
  await report(context, totals)
}

/** `adit fleet rotate`: a new key, handed over to by the old one, with everything signed anew in the same breath. */
export async function fleetRotate(
  context: OperatorContext,
  options: FleetSignOptions & { newKey?: string; passphrase?: boolean },
): Promise<void> {
  const path = keyPath(context, options)
  const nextPath = resolve(options.newKey ?? `${path}.next`)
  const old = await pairOf(context, options)
  const api = await context.api()
  const drafts: PendingStatements['pending'][number][] = []
  let document = await api.pendingStatements({ all: true })
  requireKey(document, old)
  for (; document.pending.length > 0; ) {
    drafts.push(...document.pending)
    document = await api.pendingStatements({ all: true, after: drafts.at(-1)!.subject })
  }
  const whole = { ...document, pending: drafts }
  const passphrase =
    options.passphrase || options.passphraseFile !== undefined
      ? await askPassphrase(options.passphraseFile, { twice: true })
      : undefined
  const next = await makeFleetKey(nextPath, passphrase)
  const { chosen, signing } = await choose(context, whole, next, options)
  const handOver = new StatementSigning({ suite, pair: old }, await signingOptions(context, whole, options))
  const first = toText(handOver.signKey(next.publicKey))
  signing.version = Math.max(signing.version, handOver.version)
  const statements = [first, ...chosen.map((draft) => toText(signing.sign(draft)))]
  await remember(context, whole, signing)
  for (const batch of batches(statements)) await api.submitStatements(batch)
  const retired = options.newKey === undefined ? await replaceFleetKey(nextPath, path) : path
  if (context.json)
    return context.write(`${JSON.stringify({ ...describe(next.publicKey), signed: statements.length, retired })}\n`)
  await context.write(`${toText(next.publicKey)}\n`)
  context.note(`Fingerprint: ${keyFingerprint(next.publicKey, suite)}. Back the new key up; the old one is ${retired}.`)
}

async function signFile(
  context: OperatorContext,
  document: unknown,
  pair: KeyPair,
  options: FleetSignOptions & { out: string },
): Promise<void> {
  // What is no such document says so before whose key it wants.
  draftsIn(document)
  requireKey(document as PendingStatements, pair)
  const { chosen, skipped, signing } = await choose(context, document, pair, options)
  const statements = chosen.map((draft) => toText(signing.sign(draft)))
  await remember(context, document, signing)
  const signed = `${JSON.stringify({ statements })}\n`
  if (options.out === '-') await context.write(signed)
  else await writeSignedFile(options.out, signed)
  if (context.json && options.out !== '-') return report(context, { signed: statements.length, skipped })
  context.note(`${statements.length} statements signed, ${skipped} left out. At the broker: adit-broker fleet import FILE`)
}

/** What of the document the person wants signed. */
async function choose(context: OperatorContext, document: unknown, pair: KeyPair, options: FleetSignOptions) {
  const { drafts } = draftsIn(document)
  const signing = new StatementSigning({ suite, pair }, await signingOptions(context, document, options))
  const chosen: Statement[] = []
  for (const { reason, draft } of drafts) {
    const words = `${reason.padEnd(12)}  ${statementWords(draft, suite)}`
    if (options.yes && !context.json) context.note(words)
    if (options.yes || (await askYesNo(words, 'Sign this?'))) chosen.push(draft)
  }
  return { chosen, skipped: drafts.length - chosen.length, signing }
}

/** Refuses a document of another fleet than ours, or than the one that was signed for before. */
async function signingOptions(context: OperatorContext, document: unknown, options: FleetSignOptions) {
  const { fleet } = draftsIn(document)
  const record = await readSigningRecord(context.stateFolder)
  const folder = await StateFolder.open(context.stateFolder)
  const [root] = decodePem('CERTIFICATE', (await folder.certificates())?.root ?? '')
  const own = root === undefined ? record.fleet : toText(fleetIdOf(parseCertificate(root), suite))
  if (own !== undefined && own !== toText(fleet))
    throw new AditError(
      'statement-refused',
      'What waits there is for another fleet than yours.',
      'Name the state folder of the right fleet: adit --state DIR fleet sign.',
    )
  return { fleet, version: record.version, now: context.clock.wall(), life: days(options.days) }
}

const remember = (context: OperatorContext, document: unknown, { version }: StatementSigning): Promise<void> =>
  writeSigningRecord(context.stateFolder, { version, fleet: toText(draftsIn(document).fleet) })

/** Every page tells of all. */
function tellUnsayable(context: OperatorContext, { unsayable, pending }: PendingStatements): void {
  if (pending.length === 0) for (const { subject, why } of unsayable) context.note(`cannot be signed: ${subject}: ${why}`)
}

function requireKey({ key }: PendingStatements, { publicKey }: KeyPair): void {
  if (key === toText(publicKey)) return
  throw new AditError(
    'fleet-key-refused',
    key === null ? 'The broker has no fleet key pinned.' : 'The broker has another fleet key pinned than this one.',
    `At the broker: adit-broker fleet pin ${toText(publicKey)}`,
  )
}

async function report(context: OperatorContext, totals: { signed: number; skipped: number }): Promise<void> {
  if (context.json) return context.write(`${JSON.stringify(totals)}\n`)
  const left = totals.skipped === 0 ? '' : `, ${totals.skipped} left unsigned`
  context.note(
    totals.signed + totals.skipped === 0 ? 'Nothing waits to be signed.' : `${totals.signed} statements signed${left}.`,
  )
}

/** Of one request: the broker takes bodies of 32 KiB. */
function* batches(statements: readonly string[]): Generator<string[]> {
  let batch: string[] = []
  let length = 0
  for (const statement of statements) {
    if (batch.length > 0 && length + statement.length > 24_000) {
      yield batch
      batch = []
      length = 0
    }
    batch.push(statement)
    length += statement.length + 3
  }
  if (batch.length > 0) yield batch
}

const pairOf = (context: OperatorContext, options: FleetKeyOptions): Promise<KeyPair> =>
  readFleetKey(keyPath(context, options), () => askPassphrase(options.passphraseFile))

async function publicKeyOf(context: OperatorContext, options: FleetKeyOptions): Promise<Uint8Array | undefined> {
  return readPublicHalf(keyPath(context, options))
}

const keyPath = ({ stateFolder }: OperatorContext, { key }: FleetKeyOptions): string =>
  resolve(key ?? join(stateFolder, 'fleet-key.pem'))

const describe = (key: Uint8Array | undefined): { key: string; fingerprint: string } | null =>
  key === undefined ? null : { key: toText(key), fingerprint: keyFingerprint(key, suite) }

const toText = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
