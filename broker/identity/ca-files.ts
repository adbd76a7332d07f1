import type { Ca } from '#broker/identity/issuing-ca.ts'
import { makeIssuingCa, makeRoot } from '#broker/identity/issuing-ca.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { decodePrivateKey, encodePrivateKey, type PrivateKeyKind } from '#shared/pki/private-key.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { type Role, roles } from '#shared/pki/roles.ts'
import { type FilePort, makePrivateDirectory, readSecret, storageError, writeDurably } from '#shared/platform/files.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * The authority on disk.
 *
 *   DATA/tunnel.key          X25519: the broker's WireGuard static key
 *   DATA/statement.key       Ed25519: signs what ends believe of one another where the administrator has no fleet key
 *   DATA/ca/root.pem .key    the root; its key is read only when an issuing CA is made
 *   DATA/ca/ROLE.pem .key    the issuing CA of each role
 *   DATA/ca/enrolment.key    X25519: against it tunnel keys are proven
 *   DATA/ca/server.pem       key and chain of the API, in one file so that they change together
 *   DATA/ca/ike.pem          key and chain of the broker's IKE, likewise
 *   DATA/resumption.key      what seals session tickets of IKE (see ticket-keys.ts)
 *
 * The folder `ca` is written whole under another name and then renamed: after a power cut there is none, or a whole one.
 */
export interface CaFiles {
  root: Certificate
  issuing: ReadonlyMap<Role, Ca>
  enrolmentKey: KeyPair
}

const folder = (dataDir: string): string => `${dataDir}/ca`
const draftFolder = (dataDir: string): string => `${dataDir}/.ca.new`
export const serverPath = (dataDir: string): string => `${folder(dataDir)}/server.pem`
export const ikePath = (dataDir: string): string => `${folder(dataDir)}/ike.pem`
export const ticketKeysPath = (dataDir: string): string => `${dataDir}/resumption.key`

/** Makes the folder where there is none yet. */
export async function createCaFiles(dataDir: string, now: WallTime, suite: Suite, port: FilePort): Promise<void> {
  const draft = draftFolder(dataDir)
  // A draft that a power cut left is used again: every file in it is replaced.
  await makePrivateDirectory(draft, port)
  const root = makeRoot(now, suite)
  await writeCa(`${draft}/root`, root, port)
  for (const role of roles) await writeCa(`${draft}/${role}`, makeIssuingCa(role, root, now, suite), port)
  await writeDurably(`${draft}/enrolment.key`, encodePrivateKey('x25519', suite.x25519.generate()), {}, port)
  try {
    await port.rename(draft, folder(dataDir))
    await port.syncDirectory(dataDir)
  } catch (error) {
    throw storageError(error, 'write', folder(dataDir))
  }
}

async function writeCa(path: string, ca: Ca, port: FilePort): Promise<void> {
  await writeDurably(`${path}.key`, encodePrivateKey('p256', ca.pair), {}, port)
  await writeDurably(`${path}.pem`, encodePem('CERTIFICATE', ca.certificate.der), {}, port)
}

/** Undefined where the folder is not there; AditError where it is there and not whole. */
export async function readCaFiles(dataDir: string, suite: Suite, port: FilePort): Promise<CaFiles | undefined> {
  try {
    await port.lstat(folder(dataDir))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw storageError(error, 'read', folder(dataDir))
  }
  await makePrivateDirectory(folder(dataDir), port)
  const root = await readCertificate(`${folder(dataDir)}/root.pem`, port)
  const issuing = new Map<Role, Ca>()
  for (const role of roles) {
    const path = `${folder(dataDir)}/${role}`
    const certificate = await readCertificate(`${path}.pem`, port)
    const pair = await readKey('p256', `${path}.key`, suite, port)
    if (Buffer.compare(p256Spki(pair.publicKey), certificate.spki) !== 0)
      throw damaged(`${path}.key`, 'is not the key of its certificate')
    issuing.set(role, { certificate, pair })
  }
  return { root, issuing, enrolmentKey: await readKey('x25519', `${folder(dataDir)}/enrolment.key`, suite, port) }
}

/** The keys of the data folder itself, made where they are not there. */
export async function readOrMakeOwnKeys(dataDir: string, suite: Suite, port: FilePort): Promise<OwnKeys> {
  return {
    tunnel: await readOrMake('x25519', `${dataDir}/tunnel.key`, suite, port),
    statement: await readOrMake('ed25519', `${dataDir}/statement.key`, suite, port),
  }
}

export interface OwnKeys {
  readonly tunnel: KeyPair
  readonly statement: KeyPair
}

async function readOrMake(kind: 'x25519' | 'ed25519', path: string, suite: Suite, port: FilePort): Promise<KeyPair> {
  const found = await readSecret(path, port)
  if (found !== undefined) return parse(path, () => decodePrivateKey(kind, Buffer.from(found).toString('latin1'), suite))
  const pair = suite[kind].generate()
  await writeDurably(path, encodePrivateKey(kind, pair), {}, port)
  return pair
}

async function readKey(kind: PrivateKeyKind, path: string, suite: Suite, port: FilePort): Promise<KeyPair> {
  const text = await readText(path, port)
  return parse(path, () => decodePrivateKey(kind, text, suite))
}

async function readCertificate(path: string, port: FilePort): Promise<Certificate> {
  const text = await readText(path, port)
  return parse(path, () => {
    const [der] = decodePem('CERTIFICATE', text)
    if (der === undefined) throw new PkiError('der-malformed', 'no certificate in PEM')
    return parseCertificate(der)
  })
}

async function readText(path: string, port: FilePort): Promise<string> {
  const bytes = await readSecret(path, port)
  if (bytes === undefined) throw damaged(path, 'is missing')
  return Buffer.from(bytes).toString('latin1')
}

function parse<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw damaged(path, `cannot be read (${error instanceof Error ? error.message : String(error)})`)
  }
}

const damaged = (path: string, why: string): AditError =>
  new AditError('storage-failed', `The certificate authority is damaged: ${path} ${why}.`, 'Restore the folder from its backup.')
