import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Whether a broker was ever made in that data folder; looks only. */
export const isBrokerFolder = (dataDir: string): boolean => existsSync(join(dataDir, 'ca'))
