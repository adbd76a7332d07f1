import { NotifyType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { IkePayload, NotifyPayload } from '#shared/wire/ike-payload/payload.ts'

const nothing = new Uint8Array()

/** A notification about the IKE SA itself, or about nothing in particular. */
export const notify = (type: number, data: Uint8Array = nothing): NotifyPayload => ({
  kind: 'notify',
  protocol: ProtocolId.None,
  spi: nothing,
  type,
  data,
})

/** About the Child SA that the sender of ESP datagrams with this SPI knows. */
export const notifyChild = (type: number, spi: Uint8Array): NotifyPayload => ({
  kind: 'notify',
  protocol: ProtocolId.Esp,
  spi,
  type,
  data: nothing,
})

/** INVALID_KE_PAYLOAD names the group that is wanted. */
export const invalidKe = (group: number): NotifyPayload =>
  notify(NotifyType.InvalidKePayload, Uint8Array.of(group >> 8, group & 0xff))

export const findNotify = (payloads: readonly IkePayload[], type: number): NotifyPayload | undefined =>
  payloads.find((payload): payload is NotifyPayload => payload.kind === 'notify' && payload.type === type)

export const hasNotify = (payloads: readonly IkePayload[], type: number): boolean => findNotify(payloads, type) !== undefined

/** Types from here on tell a status; those below, a failure (RFC 7296 §3.10.1). */
const FIRST_STATUS = 16_384

export const findError = (payloads: readonly IkePayload[]): NotifyPayload | undefined =>
  payloads.find((payload): payload is NotifyPayload => payload.kind === 'notify' && payload.type < FIRST_STATUS)

/** The group that INVALID_KE_PAYLOAD wants; undefined where it says none. */
export const wantedGroup = ({ data }: NotifyPayload): number | undefined =>
  data.length === 2 ? (data[0]! << 8) | data[1]! : undefined

const names = new Map<number, string>(
  Object.entries(NotifyType).map(([name, type]) => [type, name.replace(/(?<=[a-z0-9])[A-Z]/g, (c) => `_${c}`).toUpperCase()]),
)

/** As the RFCs write it: `NO_PROPOSAL_CHOSEN`. */
export const nameOfNotify = (type: number): string => names.get(type) ?? `notify ${type}`
