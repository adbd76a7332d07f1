import type { LinuxLane, LinuxLaneOptions } from './linux-lane.ts'
import { isRefusal } from './native.ts'

/** Opens the fast road, loaded only where it is wanted; where this machine cannot have it, one line says why, and undefined is returned. */
export async function openLane(options: LinuxLaneOptions): Promise<LinuxLane | undefined> {
  const { LinuxLane } = await import('./linux-lane.ts')
  const lane = await LinuxLane.open(options)
  if (!isRefusal(lane)) return lane
  const { code, message, mend } = lane
  options.log.warn({ code, mend }, `${message} ${mend} Packets take the portable engine${options.tun ? ', without a TUN' : ''}.`)
  return undefined
}
