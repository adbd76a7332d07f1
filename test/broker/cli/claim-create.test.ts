import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import test from 'node:test'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { decodeClaim } from '#shared/enrolment/claim.ts'
import { Cli } from '#test/broker/cli/cli-fixture.ts'

const cli = new Cli()
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** A data folder whose API has an address, so that claims can be made while no broker runs. */
function folder(): string[] {
  const config = `${cli.fresh('config')}.toml`
  writeFileSync(config, 'public-api = ["https://broker.example:8443"]\n')
  return ['--data', cli.fresh(), '--config', config]
}

test('RFC 7030 --est prints what a stock client wants as user and password: those of the token', async () => {
  const at = folder()
  const { status, out, err } = await cli.run('claim', 'create', '--name', 'plc-1', '--est', ...at)
  assert.equal(status, 0, err)
  assert.match(out, /^[0-9a-f]{16}:[0-9a-f]{32}\n$/)
  assert.match(err, /https:\/\/broker\.example:8443\/\.well-known\/est; its CA: adit-broker ca show/)
  const made = await cli.json<{ claim: string; est: { user: string; password: string } }>('claim', 'create', '--est', ...at)
  const { id, secret } = decodeClaim(made.claim, suite)
  assert.deepEqual(made.est, { user: hex(id), password: hex(secret) })
  const plain = await cli.json<object>('claim', 'create', ...at)
  assert.equal('est' in plain, false)
})

test('a claim that nobody could use in time is not made', async () => {
  const { status, err } = await cli.run('claim', 'create', '--ttl', '0s', ...folder())
  assert.equal(status, 2)
  assert.match(err, /ttl: a claim is good for a second at least/)
})

test('a station whose window is too short is told so in words of a command line', async () => {
  const words = ['--name', 'line-1', '--names', 'pump-{n}', '--quota', '5', '--ttl', '1s']
  const { status, err } = await cli.run('station', 'authorize', ...words, ...folder())
  assert.equal(status, 2)
  assert.match(err, /ttl: a station has a minute at least, as in 60s, 8h or 30d/)
})
