import { type Link, link } from '#broker/api/why-link.ts'
import type { Statement } from '#shared/fleet/statement.ts'

/**
 * What the fleet key has not signed yet of what an operator needs at a device. No break as far as the broker can know: it does not know who
 * has pinned the key. `signed`: what counts of the two and of the grants between them.
 */
export function signatureLinks(
  { operator, device, port }: { operator: { name: string }; device: { name: string }; port: number },
  signed: readonly Statement[],
): Link[] {
  const isPeer = (role: 'device' | 'operator', name: string): boolean =>
    signed.some((one) => one.kind === 'peer' && one.role === role && one.name === name)
  const isGranted = signed.some((one) => one.kind === 'grant' && one.ports.some(({ from, to }) => from <= port && port <= to))
  const waiting = [
    ...(isPeer('device', device.name) ? [] : [`device ${device.name}`]),
    ...(isPeer('operator', operator.name) ? [] : [`operator ${operator.name}`]),
    ...(isGranted ? [] : [`a grant of port ${port}`]),
  ]
  if (waiting.length === 0) return []
  const text = `The fleet key has not signed ${waiting.join(', nor ')}: ends that have pinned it do not go by the broker's word alone.`
  return [{ ...link('unsigned', false, text, 'An administrator signs what waits: adit fleet sign.'), state: 'warn' }]
}
