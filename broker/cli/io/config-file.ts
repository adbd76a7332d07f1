import { join } from 'node:path'
import { AditError } from '#shared/errors.ts'
import { readIfPresent } from '#shared/platform/files.ts'

/** The text of the named configuration file, which must be there, or of DATA/config.toml, which need not. */
export async function readConfigFile(
  dataDir: string,
  named: string | undefined,
): Promise<{ path: string; text: string | undefined }> {
  const path = named ?? join(dataDir, 'config.toml')
  const bytes = await readIfPresent(path)
  if (bytes === undefined && named !== undefined) {
    throw new AditError('config-invalid', `There is no configuration file ${path}.`, 'Name another one, or leave --config out.')
  }
  return { path, text: bytes && Buffer.from(bytes).toString('utf8') }
}
