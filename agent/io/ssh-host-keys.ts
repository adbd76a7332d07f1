import { connect } from 'node:net'
import { type HostKeyKind, hostKeyKinds, type ScanResult, SshKeyScan } from '#agent/core/ssh-key-scan.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'

/** OpenSSH public key lines by service name. */
export type HostKeys = Readonly<Record<string, readonly string[]>>

const SCAN_TIMEOUT_MS = 5_000

/** The host keys that the SSH service at `target` shows, as OpenSSH lines; undefined where no SSH service answers there. */
export async function askHostKeys(target: Endpoint, suite: Suite): Promise<string[] | undefined> {
  const lines: string[] = []
  for (const kind of hostKeyKinds) {
    const result = await askOne(target, kind, suite)
    if (result.kind === 'not-ssh') return undefined
    if (result.kind === 'key') lines.push(result.line)
  }
  return lines
}

function askOne({ address, port }: Endpoint, kind: HostKeyKind, suite: Suite): Promise<ScanResult> {
  return new Promise((resolve) => {
    const scan = new SshKeyScan(suite, kind)
    const socket = connect({ host: address, port })
    const finish = (result: ScanResult): void => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(SCAN_TIMEOUT_MS, () => finish({ kind: 'not-ssh', why: 'it does not answer' }))
    socket.once('connect', () => socket.write(scan.hello()))
    socket.on('data', (chunk) => {
      const reply = scan.receive(chunk)
      if (scan.result) finish(scan.result)
      else if (reply.length > 0) socket.write(reply)
    })
    socket.once('error', () => finish(scan.ended()))
    socket.once('close', () => finish(scan.ended()))
  })
}
