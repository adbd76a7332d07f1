import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Contender } from './contender.ts'
import { Daemon } from './daemon.ts'
import { lackingProgram } from './lacking.ts'

const port = 4242
const [innerA, innerB] = ['10.96.0.1', '10.96.0.2']

/** Noise with AES-256-GCM, its default. Each knows the other's address; MTU as the others have it, in place of its 1300. */
export const nebula: Contender = {
  name: 'nebula',
  lacks: () => lackingProgram('nebula', 'nebula') ?? lackingProgram('nebula-cert', 'nebula'),
  async start({ a, b, outerA, outerB }, t) {
    const folder = mkdtempSync(join(tmpdir(), 'adit-nebula-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const cert = (...words: string[]): void => void execFileSync('nebula-cert', words, { cwd: folder, stdio: 'pipe' })
    cert('ca', '-name', 'bench')
    cert('sign', '-name', 'a', '-ip', `${innerA}/24`)
    cert('sign', '-name', 'b', '-ip', `${innerB}/24`)
    writeFileSync(join(folder, 'a.yml'), configOf(folder, 'a', { [innerB]: `${outerB}:${port}` }))
    writeFileSync(join(folder, 'b.yml'), configOf(folder, 'b', { [innerA]: `${outerA}:${port}` }))
    const endB = Daemon.start(t, b, 'nebula', '-config', join(folder, 'b.yml'))
    const endA = Daemon.start(t, a, 'nebula', '-config', join(folder, 'a.yml'))
    await Promise.all([endA.says(/Nebula interface is active/), endB.says(/Nebula interface is active/)])
    return { innerA, innerB, deviceA: 'nebula-a', deviceB: 'nebula-b', processes: { a: [endA.pid], hop: [], b: [endB.pid] } }
  },
}

/** JSON is YAML. */
const configOf = (folder: string, end: string, others: Record<string, string>): string =>
  JSON.stringify({
    pki: { ca: join(folder, 'ca.crt'), cert: join(folder, `${end}.crt`), key: join(folder, `${end}.key`) },
    static_host_map: Object.fromEntries(Object.entries(others).map(([inner, outer]) => [inner, [outer]])),
    lighthouse: { am_lighthouse: false },
    listen: { host: '0.0.0.0', port },
    tun: { dev: `nebula-${end}`, mtu: 1420 },
    firewall: {
      outbound: [{ port: 'any', proto: 'any', host: 'any' }],
      inbound: [{ port: 'any', proto: 'any', host: 'any' }],
    },
  })
