import { isRefusal, loadNative, type Native } from '#shared/platform/linux-engine/native.ts'

const loaded = await loadNative()

/** Native code of this machine. Tests with it are skipped where there is none: `test(name, { skip: noNative }, …)`. */
export const native = loaded as Native

export const noNative: string | false = isRefusal(loaded) ? loaded.message : false
