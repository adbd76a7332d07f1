import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect, createSecureContext } from 'node:tls'
import { askBroker } from '#broker/admin/io/admin-client.ts'
import { Enrolment } from '#broker/enrolment/enrolment.ts'
import { Authority } from '#broker/identity/authority.ts'
import { Registry } from '#broker/registry/registry.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { isAditError } from '#shared/errors.ts'
import { createRequest } from '#shared/pki/request.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { silentLog } from '#shared/platform/log.ts'
import { processorMicrosOf } from '#test/lab/processor-time.ts'
import { Program } from '#test/lab/program.ts'
import type { BenchRow } from './row.ts'

export const name = 'enrolment'

/** Devices that enrol, and how many of them at once. */
const devices = 2_000
const atOnce = 32
const rounds = 1_000
const rivals = 64

/** Enrolment as devices do it: each with a key of its own, over a TLS connection of its own; and many with one claim at once (P-19). */
export async function run(): Promise<BenchRow[]> {
  return [...(await overTls()), ...(await oneClaim())]
}

async function overTls(): Promise<BenchRow[]> {
  const data = mkdtempSync(join(process.env.ADIT_BENCH_DIR ?? tmpdir(), 'adit-bench-'))
  const script = join(import.meta.dirname, '../../broker/main.ts')
  const words = (process.env.ADIT_BENCH_NODE ?? '').split(' ').filter(Boolean)
  const options = ['--listen', '127.0.0.1:0', '--api', '127.0.0.1:0', '--log', 'warn', '--json']
  const broker = Program.command(process.execPath, ['--import', 'tsx', ...words, script, 'run', '--data', data, ...options])
  try {
    const { api } = await broker.event(({ event }) => event === 'ready', 60_000)
    const made = await askBroker(data, 'claim.create', { role: 'device', name: 'pi-{n}', uses: devices + 1 })
    const claim = decodeClaim((made as { result: { claim: string } }).result.claim, suite)
    const { hostname: host, port } = new URL(String(api))
    // Reading the CA once costs its process a tenth less. A connection each, with a full handshake: no session is kept.
    const secureContext = createSecureContext({ ca: readFileSync(join(data, 'ca/root.pem')) })
    const createConnection = () => connect({ host, port: Number(port), secureContext })
    const ask = (path: string, body?: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
        const headers = { 'content-type': 'application/pkcs10', accept: 'application/json' }
        const auth = `${hex(claim.id)}:${hex(claim.secret)}`
        const asking = request(`${api}${path}`, { method: body === undefined ? 'GET' : 'POST', createConnection, auth, headers })
        asking.once('error', reject).once('response', (answer) => {
          text(answer).then((said) => (answer.statusCode === 200 ? resolve(said) : reject(new Error(said))), reject)
        })
        asking.end(body)
      })
    const { enrolmentKey } = JSON.parse(await ask('/v1/enrolment')) as { enrolmentKey: string }
    const requests = Array.from({ length: devices + 1 }, () => requestFor(new Uint8Array(Buffer.from(enrolmentKey, 'base64'))))
    const post = (der: Uint8Array): Promise<string> => ask('/.well-known/est/simpleenroll', Buffer.from(der).toString('base64'))
    await post(requests.pop()!)
    const cpu = processorMicrosOf(broker.pid)
    const began = performance.now()
    const each: number[] = []
    await Promise.all(
      Array.from({ length: atOnce }, async () => {
        for (let der = requests.pop(); der !== undefined; der = requests.pop()) {
          const from = performance.now()
          await post(der)
          each.push(performance.now() - from)
        }
      }),
    )
    const elapsed = (performance.now() - began) / 1_000
    each.sort((a, b) => a - b)
    const at = (share: number): number => each[Math.floor((each.length - 1) * share)] ?? 0
    return [
      { figure: 'EST enrolments over TLS, a connection each', value: devices / elapsed, unit: 'per second', bar: '>= 100' },
      { figure: `time of an enrolment, ${atOnce} at once, p50`, value: at(0.5), unit: 'ms' },
      { figure: `time of an enrolment, ${atOnce} at once, p99`, value: at(0.99), unit: 'ms' },
      { figure: "the broker's processor time per enrolment", value: (processorMicrosOf(broker.pid) - cpu) / devices, unit: 'us' },
    ]
  } finally {
    await broker.stop('SIGTERM')
    rmSync(data, { recursive: true, force: true })
  }
}

/** Without TLS: what must be one is decided behind it. */
async function oneClaim(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(process.env.ADIT_BENCH_DIR ?? tmpdir(), 'adit-bench-'))
  const ports = { suite, clock: systemClock }
  const authority = await Authority.openOrCreate(folder, ports)
  const registry = await Registry.open(folder, { ...ports, log: silentLog })
  try {
    const enrolment = new Enrolment({ registry, authority, ...ports })
    const pool = Array.from({ length: rivals }, () => requestFor(authority.enrolmentKey.publicKey))
    let single = 0
    const began = performance.now()
    for (let round = 0; round < rounds; round++) {
      const { summary, secret } = await registry.claims.create({ role: 'device' })
      const outcomes = await Promise.allSettled(
        pool.map((der) => enrolment.enrol(registry.claims.right({ id: summary.id, secret }), der, { address: '192.0.2.1' })),
      )
      const won = outcomes.flatMap(({ status }, at) => (status === 'fulfilled' ? [at] : []))
      const lost = outcomes.filter(
        (one) => one.status === 'rejected' && isAditError(one.reason) && one.reason.code === 'claim-used',
      )
      if (won.length === 1 && lost.length === rivals - 1) single++
      for (const winner of won) pool[winner] = requestFor(authority.enrolmentKey.publicKey)
    }
    const perSecond = (rounds * rivals * 1_000) / (performance.now() - began)
    return [
      {
        figure: `rounds of ${rivals} parallel uses of one claim that gave 1 certificate`,
        value: single,
        unit: 'rounds',
        bar: `= ${rounds}`,
      },
      { figure: 'uses of claims judged meanwhile, nearly all refused', value: perSecond, unit: 'per second' },
    ]
  } finally {
    await registry.close()
    rmSync(folder, { recursive: true })
  }
}

function requestFor(enrolmentKey: Uint8Array): Uint8Array {
  const tunnel = { pair: suite.x25519.generate(), enrolmentKey }
  return createRequest({ name: 'pi', identity: suite.ecdsaP256.generate(), tunnel }, suite)
}
