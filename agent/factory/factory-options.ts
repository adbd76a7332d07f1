import { join, resolve } from 'node:path'
import { FactoryFolder } from '#agent/factory/io/factory-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import type { Certificate } from '#shared/pki/certificate.ts'
import { askPassphrase } from '#shared/platform/ask-passphrase.ts'

/** What every verb of a factory takes. */
export interface FactoryOptions {
  /** STATE/factory where it is left out. */
  folder?: string
  /** The passphrase of its keys is the file's first line. */
  passphraseFile?: string
}

export const factoryPath = ({ stateFolder }: OperatorContext, { folder }: FactoryOptions): string =>
  resolve(folder ?? join(stateFolder, 'factory'))

export const openFactory = (context: OperatorContext, options: FactoryOptions): Promise<FactoryFolder> =>
  FactoryFolder.open(factoryPath(context, options), {
    passphrase: () => askPassphrase(options.passphraseFile, { of: 'the factory' }),
    suite,
  })

/** For keys about to be made; undefined: none. */
export const newPassphrase = async (options: FactoryOptions & { passphrase?: boolean }): Promise<string | undefined> =>
  options.passphrase || options.passphraseFile !== undefined
    ? askPassphrase(options.passphraseFile, { twice: true, of: 'the factory' })
    : undefined

/** SHA-256 of the certificate's DER, hex: as `adit-broker factory list` shows it. */
export const fingerprint = ({ der }: Certificate): string => toHex(suite.hash('sha256', der))
