import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import test from 'node:test'
import { serveAdmin } from '#broker/admin/io/admin-server.ts'
import { silentLog } from '#shared/platform/log.ts'
import { Cli } from '#test/broker/cli/cli-fixture.ts'

const cli = new Cli()

/** What a broker answers whose machine has no address but of a network of its own. */
const local = { extent: 'network', api: ['https://10.0.0.5:8443'], endpoint: '10.0.0.5:4500' }
const credentials =
  'adit1-pmF2AWNhcGmBdmh0dHBzOi8vMTI3LjAuMC4xOjg0NDNiY2FYIFimxau9vhb9VI01jZAo6CYrRURfO3dNUGqpa3rRW5J-YmlkSA7z5qD3UkCaZnNlY3JldFC2agDVKw_TQxYjQ_l38PPmZHJvbGVmZGV2aWNl2q8fAA'
const answers: Record<string, object> = {
  'claim.create': { ...local, claim: credentials, role: 'device', name: null, uses: 1, expires: 'T', approval: false },
  'station.authorize': { ...local, claim: 'adit1-c', station: 'line-1', names: 'p-{n}', first: 1, last: 5, quota: 5, until: 'T' },
  'device.add': { ...local, config: '[Interface]\n' },
  'device.add-ipsec': {
    ...local,
    name: 'plant-a',
    addresses: ['fd00::2'],
    subnets: [],
    broker: { host: '10.0.0.5', port: 4500, id: 'CN=broker' },
    files: [],
  },
}

test('whoever gets something that leads nowhere outside is told what helps, and that it can be done', async (t) => {
  const data = cli.fresh()
  mkdirSync(data, { mode: 0o700 })
  const server = await serveAdmin(data, async (verb) => answers[verb], silentLog)
  t.after(() => server.close())
  const key = 'jHO9WQ9cfeWh+qa9oQ9icUMfodxGw0OseSAvMx8sxUc='
  for (const [words, place, mend] of [
    [['claim', 'create'], 'https://10.0.0.5:8443', /set public-api .* restart the broker, and make another claim/],
    [['claim', 'create', '--est'], 'https://10.0.0.5:8443', /set public-api .* user and password stay as they are/],
    [
      ['station', 'authorize', '--name', 'line-1', '--names', 'p-{n}', '--quota', '5', '--ttl', '1h'],
      'https://10.0.0.5:8443',
      /adit-broker station revoke line-1.* authorize it again/,
    ],
    [['device', 'add', '--name', 'plc-1', '--wireguard', key], '10.0.0.5:4500', /write the broker's address as Endpoint/],
    [
      ['device', 'add', '--ipsec', '--name', 'plant-a', '--out', cli.fresh('out')],
      '10.0.0.5:4500',
      /adit-broker device revoke plant-a.*--endpoint HOST/,
    ],
  ] as const) {
    const { status, out, err } = await cli.run(...words, '--data', data)
    assert.equal(status, 0, err)
    const [note = ''] = err.split('\n').slice(-2)
    assert.ok(note.startsWith(`Only this machine's own network reaches ${place}. For others, `), err)
    assert.match(note, mend)
    assert.ok(!out.includes('For others'))
    const quiet = await cli.run(
      ...words.map((word) => (word.includes('/out-') ? cli.fresh('out') : word)),
      '--data',
      data,
      '--json',
    )
    assert.deepEqual([quiet.status, quiet.err], [0, ''])
    assert.equal((JSON.parse(quiet.out) as { extent: string }).extent, 'network')
  }
})

test('the command for strongSwan can be copied, whatever the folder is called', async (t) => {
  const data = cli.fresh()
  mkdirSync(data, { mode: 0o700 })
  const server = await serveAdmin(data, async (verb) => answers[verb], silentLog)
  t.after(() => server.close())
  const folder = cli.fresh('plant a')
  const { out } = await cli.run('device', 'add', '--ipsec', '--name', 'plant-a', '--out', folder, '--data', data)
  assert.ok(out.includes(`--file '${folder}/swanctl.conf' &&`), out)
})
