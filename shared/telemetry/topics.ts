/**
 * The topics of a fleet, inside the tunnel and on a device's local listener. MQTT 3.1.1 §4.7.
 *
 *   adit/d/<device>/readings    device -> broker, QoS 1, a CBOR batch (`reading.ts`)
 *   adit/d/<device>/host-keys   device -> broker, QoS 1, CBOR map {service: [OpenSSH public key line]}
 *   adit/d/<device>/goodbye     device -> broker, QoS 0, empty: the agent stops on purpose
 *   adit/d/<device>/statements  broker -> device, QoS 0, CBOR: part of a set of statements (shared/fleet/statement-parts.ts); a device that
 *                               holds a set subscribes to adit/d/<device>/statements/<its digest in hex>
 *   adit/d/<device>/pace        device -> broker, QoS 0, decimal seconds: how often the tunnel shows a sign of life while it is idle
 *   adit/d/<device>/config      broker -> device, QoS 0, empty: the configuration has changed, fetch it
 *   sensors/<reading>           local program -> agent, payload a number, JSON or CBOR
 */

export const deviceChannels = ['readings', 'host-keys', 'goodbye', 'pace'] as const
export type DeviceChannel = (typeof deviceChannels)[number]

const ROOT = 'adit/d/'
const SENSORS = 'sensors/'

/** Longest name of a reading, in characters (all of them one byte). */
export const MAX_READING_NAME = 128
const readingName = /^[A-Za-z0-9_.:-]+(?:\/[A-Za-z0-9_.:-]+)*$/

/** Names under this prefix belong to the agent itself: its vital signs and its gap records. */
export const SYSTEM_PREFIX = 'system/'
/** A record of readings that were dropped from a full outbox: value {count, firstAt, lastAt, kind}. */
export const GAP_NAME = 'system/gap'

export const deviceTopic = (device: string, channel: DeviceChannel): string => `${ROOT}${device}/${channel}`

/** What the broker says to a device. */
export const configTopic = (device: string): string => `${ROOT}${device}/config`

/** Seconds between two signs of life, at the most: a day, in whole numbers. */
export function parsePace(text: string): number | undefined {
  const seconds = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0
  return seconds >= 1 && seconds <= 86_400 ? seconds : undefined
}

const STATEMENTS = '/statements'

/** Where a device hears of changes of its statements; `digest`: of the set that it holds, in hex. */
export const statementsTopic = (device: string, digest = ''): string =>
  `${ROOT}${device}${STATEMENTS}${digest === '' ? '' : `/${digest}`}`

/** The digest in a subscription to the statements of `device`, empty where it holds none; undefined for any other topic. */
export function heldDigestIn(topic: string, device: string): string | undefined {
  const base = statementsTopic(device)
  if (topic === base) return ''
  const digest = topic.startsWith(`${base}/`) ? topic.slice(base.length + 1) : ''
  return /^[0-9a-f]{32}$/.test(digest) ? digest : undefined
}

/** The device and channel that a topic names, or undefined for any other topic (wildcards, empty levels, deeper levels). */
export function parseDeviceTopic(topic: string): { device: string; channel: DeviceChannel } | undefined {
  if (!topic.startsWith(ROOT)) return undefined
  const [device, channel, ...rest] = topic.slice(ROOT.length).split('/')
  if (!device || rest.length > 0 || /[+#\0]/.test(device)) return undefined
  const known = deviceChannels.find((name) => name === channel)
  return known === undefined ? undefined : { device, channel: known }
}

/** The reading's name in a local topic `sensors/NAME`, unchecked, or undefined for any other topic. */
export const readingNameOf = (topic: string): string | undefined =>
  topic.startsWith(SENSORS) ? topic.slice(SENSORS.length) : undefined

/** Whether a reading may bear this name: letters, digits and `_.:-`, in levels parted by `/`, at most 128 characters. */
export const isReadingName = (name: string): boolean => name.length <= MAX_READING_NAME && readingName.test(name)
