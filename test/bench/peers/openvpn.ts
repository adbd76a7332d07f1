import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Host } from '#test/lab/namespaces.ts'
import type { Contender } from './contender.ts'
import { Daemon } from './daemon.ts'
import { lackingProgram } from './lacking.ts'

const port = 1194
const device = 'ovpn0'
const [innerA, innerB] = ['10.95.0.1', '10.95.0.2']

/** Point to point over UDP, AES-256-GCM, the data channel in user space even where the kernel could take it (DCO). */
export const openvpn: Contender = {
  name: 'openvpn',
  lacks: () => lackingProgram('openvpn', 'openvpn'),
  async start({ a, b, outerB }, t) {
    const folder = mkdtempSync(join(tmpdir(), 'adit-openvpn-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const pinned = { a: selfSigned(folder, 'a'), b: selfSigned(folder, 'b') }
    const files = (end: string): string[] => ['--cert', join(folder, `${end}.pem`), '--key', join(folder, `${end}.key`)]
    const server = ['--tls-server', '--dh', 'none', '--local', outerB, '--port', String(port), '--ifconfig', innerB, innerA]
    const client = ['--tls-client', '--nobind', '--remote', outerB, String(port), '--ifconfig', innerA, innerB]
    const endB = start(t, b, ...server, ...files('b'), '--peer-fingerprint', pinned.a)
    const endA = start(t, a, ...client, ...files('a'), '--peer-fingerprint', pinned.b)
    const complete = /Initialization Sequence Completed/
    await Promise.all([endA.says(complete), endB.says(complete)])
    return { innerA, innerB, deviceA: device, deviceB: device, processes: { a: [endA.pid], hop: [], b: [endB.pid] } }
  },
}

function start(t: Pick<TestContext, 'after'>, host: Host, ...words: string[]): Daemon {
  const both = ['--dev', device, '--dev-type', 'tun', '--proto', 'udp', '--tun-mtu', '1420', '--data-ciphers', 'AES-256-GCM']
  return Daemon.start(t, host, 'openvpn', ...both, '--disable-dco', '--verb', '3', '--keepalive', '10', '60', ...words)
}

/** A key and a certificate for it; returns the SHA-256 fingerprint that the other end pins. */
function selfSigned(folder: string, name: string): string {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...kind, '-subj', `/CN=${name}`, '-keyout', key, '-out', certificate], {
    stdio: 'pipe',
  })
  const said = execFileSync('openssl', ['x509', '-in', certificate, '-noout', '-fingerprint', '-sha256'], { encoding: 'utf8' })
  return said.trim().split('=')[1]!
}
