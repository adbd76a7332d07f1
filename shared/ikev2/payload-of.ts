import type { IkePayload } from '#shared/wire/ike-payload/payload.ts'

/** The member of the union that may be of kind K. */
type Of<K extends IkePayload['kind'], P = IkePayload> = P extends { kind: infer Q } ? (K extends Q ? P : never) : never

/** The first payload of a kind. */
export const payloadOf = <K extends IkePayload['kind']>(payloads: readonly IkePayload[], kind: K): Of<K> | undefined =>
  payloads.find((payload): payload is Of<K> & IkePayload => payload.kind === kind)

/** All payloads of a kind, in their order. */
export const payloadsOf = <K extends IkePayload['kind']>(payloads: readonly IkePayload[], kind: K): Of<K>[] =>
  payloads.filter((payload): payload is Of<K> & IkePayload => payload.kind === kind)
