import { existsSync } from 'node:fs'
import type * as Graphene from 'graphene-pk11'
import { AditError } from '#shared/errors.ts'

/** Modules of PKCS#11 (OASIS PKCS#11 2.40) stay loaded: a token forgets its logins when its module is finalised. */
const modules = new Map<string, Graphene.Module>()

/** The package is loaded when a key is asked for, and at no other time. Throws AditError `key-token-missing` where it is not here. */
export async function loadGraphene(): Promise<typeof Graphene> {
  try {
    const loaded = await import('graphene-pk11')
    return 'Module' in loaded ? loaded : (loaded as { default: typeof Graphene }).default
  } catch (cause) {
    throw new AditError(
      'key-token-missing',
      'Keys in hardware need the package graphene-pk11, which is not here.',
      'Install it beside adit: npm install graphene-pk11',
      { cause },
    )
  }
}

/** Throws AditError where the file is none, or no module. */
export function loadModule(graphene: typeof Graphene, path: string): Graphene.Module {
  const known = modules.get(path)
  if (known) return known
  if (!existsSync(path)) {
    const mend = 'Install it, as in: apt install softhsm2, or libtpm2-pkcs11-1 for a TPM; or correct its path.'
    throw new AditError('key-token-missing', `There is no PKCS#11 module ${path}.`, mend)
  }
  try {
    const module = graphene.Module.load(path)
    module.initialize()
    modules.set(path, module)
    return module
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new AditError('key-token-missing', `${path} cannot be used as a PKCS#11 module: ${why}.`, 'Name another one.', {
      cause,
    })
  }
}

/** Whether it is the one that is loaded now: handles of one that was unloaded may be another's by now. */
export const isLoaded = (path: string, module: Graphene.Module | undefined): boolean =>
  module !== undefined && modules.get(path) === module

/** It is loaded anew when it is asked for again. */
export function unloadModule(path: string): void {
  const module = modules.get(path)
  modules.delete(path)
  try {
    module?.finalize()
  } catch {
    // What cannot be ended in order has ended.
  }
}

export function unloadModules(): void {
  for (const path of [...modules.keys()]) unloadModule(path)
}
