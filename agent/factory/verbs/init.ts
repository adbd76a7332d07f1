import { type FactoryOptions, factoryPath, fingerprint, newPassphrase } from '#agent/factory/factory-options.ts'
import { FactoryFolder } from '#agent/factory/io/factory-folder.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { checkName } from '#shared/enrolment/name.ts'

/** `adit factory init`: root, IDevID CA and voucher signer of a maker of boards. */
export async function factoryInit(
  context: OperatorContext,
  options: FactoryOptions & { name: string; passphrase?: boolean },
): Promise<void> {
  const path = factoryPath(context, options)
  const passphrase = await newPassphrase(options)
  const name = checkName(options.name)
  const factory = await FactoryFolder.make(path, { name, passphrase, now: context.clock.wall(), suite })
  const document = { folder: path, root: fingerprint(factory.root) }
  if (context.json) return context.write(`${JSON.stringify(document)}\n`)
  await context.write(`${document.root}\n`)
  context.note(
    `The factory is ${path}. Copy root.key to a place of safety and delete it here: nothing but a new factory needs it.`,
  )
  context.note(
    'Next: adit factory idevid SERIAL --into DIR; owners: adit factory trust-anchor > maker.pem; adit-broker factory trust maker.pem',
  )
}
