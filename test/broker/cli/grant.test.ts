import assert from 'node:assert/strict'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Cli, openDesk } from '#test/broker/cli/cli-fixture.ts'

const cli = new Cli()

test('grants between sites: from and to, shown in the list, warned of where they open nothing', async (t) => {
  const { data, registry } = await openDesk(t, cli)
  const add = (...words: string[]) => cli.run('grant', 'add', '--data', data, ...words)
  const psk = () => ({ psk: nativeSuite.random(32) })
  const west = await registry.ipsecPeers.add({ name: 'west', proof: psk(), subnets: ['192.168.1.0/24'] })
  const east = await registry.ipsecPeers.add({ name: 'east', proof: psk(), subnets: ['192.168.2.0/24'] })
  await registry.ipsecPeers.add({ name: 'laptop', proof: psk() })

  assert.deepEqual(await add('--from', 'west', '--to', 'east', '--port', 'any'), { status: 0, out: 'grant 1 added\n', err: '' })
  assert.ok(registry.policy.permitsBehind(west, east, 65_535, 0))
  assert.equal(registry.policy.permitsBehind(east, west, 80, 0), undefined)
  assert.match((await add('--from', 'laptop', '--to', 'laptop', '--port', '80')).err, /No subnet lies behind laptop/)
  assert.match((await add('--operator', 'ann', '--to', 'north', '--port', '80')).err, /no device north yet/)
  const listed = await cli.run('grant', 'list', '--data', data)
  assert.match(listed.out, /^1 +from:west +behind:east +1-65535 /m)
  assert.match(listed.out, /^3 +ann +behind:north +80 /m)
  const [first] = await cli.json<{ from: string[]; to: string[]; ports: string[] }[]>('grant', 'list', '--data', data)
  assert.deepEqual([first?.from, first?.to, first?.ports], [['west'], ['east'], ['1-65535']])
  assert.equal((await cli.run('grant', 'revoke', '1', '--data', data)).status, 0)
  assert.equal(registry.policy.permitsBehind(west, east, 80, 0), undefined)

  for (const [words, message] of [
    [['--from', 'west', '--port', '80'], /--tag, --device or --to/],
    [['--to', 'east', '--port', '80'], /--operator, --group or --from/],
    [['--from', 'west', '--device', 'east', '--port', '80'], /Device to device is closed/],
    [['--from', 'west', '--operator', 'ann', '--to', 'east', '--port', '80'], /not both/],
    [['--from', 'west', '--to', 'east'], /needs a port/],
    [['--operator', 'ann', '--tag', 't', '--until', '2020-01-01'], /that moment is over/],
    [['--from', 'a/b', '--to', 'east', '--port', '80'], /not allowed/],
    [['--from', 'west', '--to', 'east', '--port', '0'], /any/],
  ] as const) {
    const refused = await add(...words)
    assert.equal(refused.status, 2, words.join(' '))
    assert.match(refused.err, message, words.join(' '))
  }
})

test('a name that nobody bears is told, unless a claim waits for somebody of that name', async (t) => {
  const { data, registry } = await openDesk(t, cli, { config: 'public-api = ["https://b.example:1"]' })
  const warned = async (...words: string[]): Promise<string> =>
    (await cli.run('grant', 'add', '--data', data, ...words, '--port', '22')).err
  assert.equal(
    await warned('--operator', 'ann', '--device', 'pi-7'),
    'There is no operator ann yet.\nThere is no device pi-7 yet.\n',
  )
  await registry.claims.create({ role: 'operator', name: 'ann' })
  await registry.claims.create({ role: 'device', name: 'pi-{n}', uses: 9 })
  assert.equal(await warned('--operator', 'ann', '--device', 'pi-7', '--tag', 't'), '')
  assert.equal(
    await warned('--operator', 'pi-7', '--device', 'api-7'),
    'There is no operator pi-7 yet.\nThere is no device api-7 yet.\n',
  )
})
