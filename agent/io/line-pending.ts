import { readSecret, removeDurably, writeDurably } from '#shared/platform/files.ts'
import type { StateFolder } from './state-folder.ts'

/**
 * STATE/line.pending: this board has an identity that the station of its line may not have recorded as delivered. It is there before the
 * identity is, and goes when the station has said so.
 */
const pathOf = (folder: StateFolder): string => `${folder.path}/line.pending`

export const isDeliveryPending = async (folder: StateFolder): Promise<boolean> => (await readSecret(pathOf(folder))) !== undefined

export const markDelivery = (folder: StateFolder, serial: string): Promise<void> => writeDurably(pathOf(folder), `${serial}\n`)

export const clearDelivery = (folder: StateFolder): Promise<void> => removeDurably(pathOf(folder))
