import { DropReason } from '#shared/drop-reason.ts'

/** The name of a drop reason, for people. */
export const reasonName = (reason: number): string =>
  Object.entries(DropReason).find(([, value]) => value === reason)?.[0] ?? String(reason)
