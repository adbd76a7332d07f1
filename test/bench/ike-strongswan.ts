import { existsSync } from 'node:fs'
import { StrongswanGateway } from '#test/lab/strongswan-gateway.ts'
import type { BenchRow } from './row.ts'

export const name = 'ike-strongswan'

const handshakes = 200

/**
 * strongSwan answers the same first exchanges as we do in `FIGURE=ike`: P-256 certificates, a Child SA, one device after the other. Its
 * processor time, threads and system calls included, by what the kernel has counted for it. Needs root and Debian's packages.
 */
export async function run(): Promise<BenchRow[]> {
  if (process.getuid?.() !== 0 || !existsSync('/usr/lib/ipsec/charon')) {
    process.stderr.write('skipped: strongSwan beside us needs root and the package strongswan-charon\n')
    return []
  }
  const endings: (() => unknown)[] = []
  /** Each device is stopped at once. */
  const itself = { after: () => {} }
  const t = { after: (end: () => unknown) => void endings.push(end) }
  try {
    const gateway = await StrongswanGateway.open(t)
    await gateway.configure({ proposals: 'aes256gcm16-prfsha256-x25519', esp: 'aes256gcm16-x25519-noesn' })
    const before = gateway.swan.processorSeconds
    for (let n = 0; n < handshakes; n++) {
      const caller = await gateway.call(itself, { ike: ['aes256gcm16-prfsha256-x25519'], esp: ['aes256gcm16-x25519-noesn'] })
      caller.leave()
      await caller.stop()
    }
    const rate = handshakes / (gateway.swan.processorSeconds - before)
    return [{ figure: 'strongSwan: the same as responder, x25519, its processor time', value: rate, unit: 'per second' }]
  } finally {
    for (const end of endings.reverse()) await end()
  }
}
