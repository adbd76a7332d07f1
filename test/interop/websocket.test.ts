import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { AgentSocketClient } from '#agent/io/agent-socket.ts'
import { type Device, type DeviceOptions, Fleet } from '#test/lab/fleet.ts'
import { type Host, Internet } from '#test/lab/namespaces.ts'
import { Program } from '#test/lab/program.ts'

/** A device behind a firewall of the kernel's, the broker beyond it: UDP at 4500, the API at 8443, WebSockets at 443. */
const server = '10.81.0.2'
const router = '10.80.0.1'

interface Status {
  tunnel: { state: string; carrier: string | null; endpoint: string | null; evidenceAgeSeconds: number | null }
  findings: { code: string; text: string; mend: string }[]
}

interface Place {
  fleet: Fleet
  dev: Host
  gate: Host
  folder: string
  /** An enrolled device that does not run. */
  enrolled(options?: DeviceOptions): Promise<Device>
}

async function place(t: TestContext): Promise<Place> {
  const internet = Internet.open(t)
  const [dev, gate, srv] = [internet.host('dev'), internet.host('gate'), internet.host('srv')]
  internet.link({ host: dev, addresses: ['10.80.0.2/24'] }, { host: gate, addresses: [`${router}/24`] })
  internet.link({ host: gate, addresses: ['10.81.0.1/24'] }, { host: srv, addresses: [`${server}/24`] })
  dev.ip(`route add default via ${router}`)
  srv.ip('route add default via 10.81.0.1')
  gate.sysctl('net.ipv4.ip_forward=1')
  const folder = mkdtempSync(join(tmpdir(), 'adit-websocket-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const config = `[websocket]\nlisten = "${server}:443"\n`
  const fleet = await Fleet.start(t, { prefix: srv.prefix, listen: `${server}:4500`, api: `${server}:8443`, config })
  const enrolled = async (options: DeviceOptions = {}): Promise<Device> => {
    const device = await fleet.device('pi', { prefix: dev.prefix, ...options })
    await device.stop()
    return device
  }
  return { fleet, dev, gate, folder, enrolled }
}

/** What the running agent says, without a process for each question. */
async function statusOf(device: Device): Promise<Status> {
  const client = await AgentSocketClient.connect(join(device.state, 'agent.sock'))
  try {
    return (await client.request({ op: 'status' })) as Status
  } finally {
    client.close()
  }
}

/** Ms until the status `holds`. */
async function until(device: Device, withinMs: number, holds: (status: Status) => boolean): Promise<number> {
  const started = performance.now()
  for (;;) {
    const status = await statusOf(device).catch(() => undefined)
    if (status && holds(status)) return Math.round(performance.now() - started)
    if (performance.now() - started > withinMs) assert.fail(`not within ${withinMs} ms: ${JSON.stringify(status)}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const blockUdp = 'table inet gate { chain forward { type filter hook forward priority 0; meta l4proto udp drop; }; }'
const only443 = `table inet gate { chain forward { type filter hook forward priority 0; policy drop;
  tcp dport 443 accept
  tcp sport 443 accept
}; }`
const open = 'delete table inet gate'

const isBy =
  (carrier: string) =>
  ({ tunnel }: Status): boolean =>
    tunnel.state === 'up' && tunnel.carrier === carrier

describe('where UDP is blocked', { concurrency: true }, () => {
  test('P-24 F-13 only TCP 443 passes: up over it in 5 s from cold, back on UDP in 60 s, over it again in 10 s', async (t) => {
    const { gate, enrolled } = await place(t)
    const device = await enrolled()
    // Traffic each second: an idle tunnel may take six keepalives to notice.
    writeFileSync(join(device.state, 'config.toml'), '[readings]\nvitals = "1s"\n', { mode: 0o600 })
    gate.nft(only443)
    const { afterMs, endpoint } = await device.launch().event(({ event }) => event === 'up', 30_000)
    t.diagnostic(`cold: up after ${afterMs} ms`)
    assert.equal(endpoint, `wss://${server}/v1/tunnel`)
    assert.ok(Number(afterMs) <= 5_000)
    gate.nft(open)
    t.diagnostic(`unblocked: on UDP after ${await until(device, 60_000, isBy('udp'))} ms`)
    gate.nft(blockUdp)
    const mid = await until(device, 30_000, isBy('websocket'))
    t.diagnostic(`blocked mid-session: on the WebSocket after ${mid} ms`)
    assert.ok(mid <= 10_000)
  })

  test('F-13 A-88 only a proxy is reached (tinyproxy with a password): enrolment and tunnel go through it', async (t) => {
    const { gate, fleet, folder, enrolled } = await place(t)
    gate.nft('table inet gate { chain forward { type filter hook forward priority 0; policy drop; }; }')
    const file = join(folder, 'tinyproxy.conf')
    const lines = [
      `Port 3128`,
      `Listen ${router}`,
      'BasicAuth field s3cret',
      'ConnectPort 443',
      'ConnectPort 8443',
      'Timeout 600',
      'MaxClients 20',
    ]
    writeFileSync(file, `${lines.join('\n')}\n`)
    const tinyproxy = Program.command(gate.prefix[0]!, [...gate.prefix.slice(1), 'tinyproxy', '-d', '-c', file])
    t.after(() => tinyproxy.stop())
    const device = await enrolled({ proxy: `http://field:s3cret@${router}:3128` })
    const { afterMs, endpoint } = await device.launch().event(({ event }) => event === 'up', 30_000)
    t.diagnostic(`through tinyproxy: up after ${afterMs} ms`)
    assert.equal(endpoint, `wss://${server}/v1/tunnel through the proxy ${router}:3128`)
    assert.deepEqual((await statusOf(device)).findings, [])
    await device.stop()
    const refused = device.launch(['--proxy', `http://field:wrong@${router}:3128`])
    const finding = await refused.event(({ event }) => event === 'finding', 30_000)
    assert.equal(finding.code, 'proxy-auth')
    assert.ok(!(refused.stderr + JSON.stringify(refused.events)).includes('wrong@'))
    assert.equal(fleet.broker.running, true)
  })

  test('F-09 behind a captive portal: named as such, shown nothing secret, up within 10 s of the release', async (t) => {
    const { gate, folder, enrolled } = await place(t)
    const device = await enrolled()
    const pem = join(folder, 'portal.pem')
    const subject = ['-subj', '/CN=portal.hotspot.example', '-days', '2', '-nodes', '-newkey', 'rsa:2048']
    execFileSync('openssl', ['req', '-x509', ...subject, '-keyout', pem, '-out', `${pem}.crt`], { stdio: 'ignore' })
    execFileSync('sh', ['-c', 'cat "$0.crt" >> "$0"', pem])
    const script = join(import.meta.dirname, 'portal-child.ts')
    const words = [...gate.prefix.slice(1), process.execPath, '--import', 'tsx', script, '8080', '8443', pem]
    const portal = Program.command(gate.prefix[0]!, words)
    t.after(() => portal.stop())
    await portal.event(({ event }) => event === 'ready')
    gate.nft(`table inet gate {
      chain pre { type nat hook prerouting priority -100;
        ip saddr 10.80.0.0/24 tcp dport 80 redirect to :8080
        ip saddr 10.80.0.0/24 tcp dport 443 redirect to :8443
      }
      chain forward { type filter hook forward priority 0; policy drop; }
    }`)
    const program = device.launch()
    const { at: from } = await program.event(({ event }) => event === 'starting', 30_000)
    const { at, code, mend } = await program.event(({ event }) => event === 'finding', 30_000)
    t.diagnostic(`portal named ${Date.parse(String(at)) - Date.parse(String(from))} ms after the start`)
    assert.equal(code, 'portal')
    assert.match(String(mend), /Log in/)
    await portal.eventsUntil((events) => events.filter(({ event }) => event === 'asked').length >= 4, 60_000)
    gate.nft(open)
    const released = performance.now()
    await program.event(({ event }) => event === 'up', 20_000)
    const afterMs = Math.round(performance.now() - released)
    t.diagnostic(`up ${afterMs} ms after the release`)
    assert.ok(afterMs <= 10_000)
    assert.deepEqual((await statusOf(device)).findings, [])
    const allowed = ['host', 'connection', 'upgrade', 'sec-websocket-version', 'sec-websocket-key']
    for (const { event, request, headers } of portal.events) {
      if (event !== 'asked') continue
      assert.equal(request, 'GET /v1/tunnel')
      for (const name of (headers as string[]).filter((_, i) => i % 2 === 0))
        assert.ok(allowed.includes(name.toLowerCase()), name)
    }
    assert.deepEqual(
      portal.events.filter(({ event }) => event === 'more'),
      [],
      'no datagram went into the portal',
    )
  })
})
