import { type DeviceChannel, deviceTopic, parseDeviceTopic } from '#shared/telemetry/topics.ts'

/** Levels of a topic or filter at most. */
export const topicLevelLimit = 16

/** Characters of a topic at most. */
const topicLength = 256

/** Printable ASCII only, without what means something to a broker: no NUL, no `$` at the front, no wildcard. */
const plainTopic = /^[A-Za-z0-9_.:-][A-Za-z0-9_.:/-]*$/

/**
 * What a device may do by MQTT, by the name in its certificate alone; everything else is denied. Rights are compared by containment:
 * a filter is granted only where every topic that it could match is granted, so none with a wildcard ever is.
 */
export function publishChannel(device: string, topic: string): DeviceChannel | undefined {
  if (!isPlain(topic)) return undefined
  const named = parseDeviceTopic(topic)
  return named?.device === device ? named.channel : undefined
}

/** A device may listen below its own branch, on topics named in full. */
export function maySubscribe(device: string, filter: string): boolean {
  return isPlain(filter) && filter.startsWith(branchOf(device)) && filter.length > branchOf(device).length
}

function branchOf(device: string): string {
  return deviceTopic(device, 'readings').slice(0, -'readings'.length)
}

function isPlain(topic: string): boolean {
  return topic.length <= topicLength && plainTopic.test(topic) && topic.split('/').length <= topicLevelLimit
}
