import { equalPublic } from '#shared/bytes/equal.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { valuesOf } from '#shared/pki/distinguished-name.ts'
import { names, rolePurposes } from '#shared/pki/oids.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { p256Spki } from '#shared/pki/public-key.ts'
import { wallTime } from '#shared/time/instant.ts'
import { savePin } from './fleet-keeper.ts'
import type { StateFolder } from './state-folder.ts'
import type { TokenPlace } from './token-place.ts'

/** What a station gives a board for its keys. */
export interface GivenIdentity {
  /** PEM: the leaf, then its issuers; the root is not in it. */
  readonly chain: string
  /** PEM. */
  readonly root: string
  readonly api: readonly string[]
  readonly addresses?: readonly string[] | undefined
  readonly fleetKey?: Uint8Array | undefined
}

/** Public halves: P-256 uncompressed (65 bytes) and X25519 (32 bytes). */
interface PublicKeys {
  readonly identity: Uint8Array
  readonly tunnel: Uint8Array
}

/**
 * Whether that identity is one for these keys: a path to the root that came with it, from a device's certificate with both keys in it.
 * Returns the name; throws AditError `certificate-refused`.
 */
export function checkGiven({ chain, root }: GivenIdentity, keys: PublicKeys): string {
  try {
    const { leaf, intermediates } = parseChain(decodePem('CERTIFICATE', chain))
    const anchors = decodePem('CERTIFICATE', root).map((der) => parseCertificate(der))
    // What was issued for this moment begins at this moment: a board on the line has no clock of its own (DESIGN D5).
    const now = wallTime([leaf, ...intermediates, ...anchors].reduce((time, { notBefore }) => Math.max(time, notBefore), 0))
    verifyChain(leaf, intermediates, { anchors, now, purposes: [rolePurposes.device] })
    const { spki, extensions, subjectName } = leaf
    if (!equalPublic(spki, p256Spki(keys.identity))) throw refused('it is for another identity key')
    if (extensions.tunnelKey === undefined || !equalPublic(extensions.tunnelKey, keys.tunnel))
      throw refused('it is for another tunnel key')
    const [name] = valuesOf(subjectName, names.commonName)
    if (name === undefined) throw refused('it has no name')
    return name
  } catch (error) {
    if (error instanceof PkiError) throw refused(error.message, error)
    throw error
  }
}

/**
 * Puts it into the state folder, where its keys are already. The certificate goes last: a folder that has one is whole, and before that the
 * same is done again. `token`: where the identity key is in hardware. Throws as `checkGiven`.
 */
export async function takeIdentity(folder: StateFolder, given: GivenIdentity, suite: Suite, token?: TokenPlace): Promise<string> {
  const keys = await folder.keys(suite, token)
  if (keys === undefined) throw new TypeError('an identity without keys')
  const name = checkGiven(given, { identity: keys.identity.publicKey, tunnel: keys.tunnel.publicKey })
  const { api, chain, root, fleetKey } = given
  if (fleetKey) await savePin(folder, fleetKey)
  const addresses = given.addresses && Object.fromEntries(api.map((url) => [new URL(url).hostname, given.addresses!]))
  await folder.saveRecord({ api, name, role: 'device', ...(addresses && { addresses }) })
  await folder.saveCertificates({ chain, root })
  return name
}

/** The key that the folder's certificate is for: SubjectPublicKeyInfo DER; undefined where there is none. */
export async function certifiedKey(folder: StateFolder): Promise<Uint8Array | undefined> {
  const certificates = await folder.certificates()
  const [der] = decodePem('CERTIFICATE', certificates?.chain ?? '')
  return der && parseCertificate(der).spki
}

const refused = (why: string, cause?: unknown): AditError =>
  new AditError(
    'certificate-refused',
    `The identity that the station gave is not accepted: ${why}.`,
    'Let the station provision this unit again; if that does not help, look at the station with: adit station verify',
    { cause },
  )
