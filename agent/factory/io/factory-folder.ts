import { join } from 'node:path'
import { makeFactoryRoot, makeIdevidCa, makeVoucherSigner } from '#agent/factory/factory-certificates.ts'
import type { KeyPair, Suite } from '#shared/crypto/suite.ts'
import { AditError } from '#shared/errors.ts'
import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { encryptPrivateKey, openPrivateKey } from '#shared/pki/encrypted-key.ts'
import type { Ca } from '#shared/pki/peer-leaf.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { decodePrivateKey, encodePrivateKey } from '#shared/pki/private-key.ts'
import { makePrivateDirectory, readIfPresent, readSecret, writeDurably } from '#shared/platform/files.ts'
import type { WallTime } from '#shared/time/instant.ts'

/**
 * What a maker of boards has on disk: 0700, keys 0600 and under a passphrase where one was given.
 *
 *   root.pem root.key   idevid-ca.pem idevid-ca.key   voucher.pem voucher.key   boards/SERIAL.json
 *
 * `root.pem` is there last: a folder without it is no factory, and `init` begins anew. The root's key is needed at `init` alone and may
 * lie elsewhere from then on.
 */
export class FactoryFolder {
  readonly path: string
  readonly root: Certificate
  readonly idevidCa: Certificate
  readonly #voucherSigner: Certificate
  readonly #passphrase: () => Promise<string>
  readonly #suite: Suite

  private constructor(path: string, certificates: readonly [Certificate, Certificate, Certificate], access: Access) {
    this.path = path
    this.root = certificates[0]
    this.idevidCa = certificates[1]
    this.#voucherSigner = certificates[2]
    this.#passphrase = access.passphrase
    this.#suite = access.suite
  }

  /** Makes one where there is none. Throws AditError `factory-refused` where there is. */
  static async make(
    path: string,
    { name, passphrase, now, suite }: { name: string; passphrase: string | undefined; now: WallTime; suite: Suite },
  ): Promise<FactoryFolder> {
    if (await readIfPresent(join(path, certificateFile('root')))) throw exists(path)
    await makePrivateDirectory(join(path, 'boards'))
    const root = makeFactoryRoot(name, now, suite)
    const made = {
      'idevid-ca': makeIdevidCa(name, root, now, suite),
      voucher: makeVoucherSigner(name, root, now, suite),
      root,
    }
    for (const [part, { certificate, pair }] of Object.entries(made) as [Part, Ca][]) {
      const plain = encodePrivateKey('p256', pair)
      await writeDurably(
        join(path, keyFile(part)),
        passphrase === undefined ? plain : encryptPrivateKey(plain, passphrase, suite),
      )
      await writeDurably(join(path, certificateFile(part)), encodePem('CERTIFICATE', certificate.der))
    }
    return FactoryFolder.open(path, { passphrase: async () => passphrase ?? '', suite })
  }

  /** `passphrase` is asked for only where a key is needed and under one. Throws AditError `not-found`. */
  static async open(path: string, access: Access): Promise<FactoryFolder> {
    const [root, idevidCa, voucher] = [
      await readCertificate(path, 'root'),
      await readCertificate(path, 'idevid-ca'),
      await readCertificate(path, 'voucher'),
    ]
    if (!root || !idevidCa || !voucher) throw noFactory(path)
    return new FactoryFolder(path, [root, idevidCa, voucher], access)
  }

  /** The CA that signs IDevIDs, with its key. Throws AditError `factory-refused`. */
  async openIdevidCa(): Promise<Ca> {
    return { certificate: this.idevidCa, pair: await this.#key('idevid-ca') }
  }

  async openVoucherSigner(): Promise<Ca> {
    return { certificate: this.#voucherSigner, pair: await this.#key('voucher') }
  }

  async #key(part: Part): Promise<KeyPair> {
    const path = join(this.path, keyFile(part))
    const bytes = await readSecret(path)
    if (bytes === undefined) throw noKey(path)
    const plain = await openPrivateKey(Buffer.from(bytes).toString('latin1'), this.#passphrase)
    if (plain === undefined) throw wrongPassphrase(path)
    try {
      return decodePrivateKey('p256', plain, this.#suite)
    } catch {
      throw noKey(path)
    }
  }
}

interface Access {
  passphrase(): Promise<string>
  suite: Suite
}

type Part = 'root' | 'idevid-ca' | 'voucher'

const keyFile = (part: Part): string => `${part}.key`
const certificateFile = (part: Part): string => `${part}.pem`

async function readCertificate(path: string, part: Part): Promise<Certificate | undefined> {
  const bytes = await readIfPresent(join(path, certificateFile(part)))
  const [der] = decodePem('CERTIFICATE', Buffer.from(bytes ?? []).toString('latin1'))
  return der && parseCertificate(der)
}

const exists = (path: string): AditError =>
  new AditError('factory-refused', `There is a factory at ${path} already.`, 'Use it, or name another folder with --folder.')

const noFactory = (path: string): AditError =>
  new AditError('not-found', `There is no factory at ${path}.`, 'Make one: adit factory init. Or name its folder with --folder.')

const noKey = (path: string): AditError =>
  new AditError('factory-refused', `${path} holds no P-256 private key.`, 'Restore it from its backup.')

const wrongPassphrase = (path: string): AditError =>
  new AditError('factory-refused', `The passphrase does not open ${path}.`, 'Try again, or restore another copy of the key.')
