/** Incarnations remembered, and the longest text of one. */
const mostMet = 4
const longest = 64

/**
 * Lives of the broker's data folder that an agent has met (`EPOCH.ID`), the latest first. It tells each broker of the others: where one was
 * restored twice, or runs on beside its copy, that is how somebody comes to know. Returns the same array where nothing has changed.
 */
export function meetBroker(met: readonly string[], incarnation: string | undefined): readonly string[] {
  if (incarnation === undefined || incarnation.length > longest || met[0] === incarnation) return met
  return [incarnation, ...met.filter((other) => other !== incarnation)].slice(0, mostMet)
}
