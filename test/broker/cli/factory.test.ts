import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import test from 'node:test'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { Cli } from '#test/broker/cli/cli-fixture.ts'
import { BuiltFactory, later } from '#test/shared/enrolment/built-board.ts'

const cli = new Cli()

test('factory and voucher: trust, import, list, again, remove, and their refusals by code', async () => {
  const data = cli.fresh()
  const factory = new BuiltFactory()
  const maker = `${cli.fresh('maker')}.pem`
  writeFileSync(maker, encodePem('CERTIFICATE', factory.root.certificate.der))
  const root = decodePem('CERTIFICATE', (await cli.run('ca', 'show', '--data', data)).out)[0]!
  const file = (name: string, cms: Uint8Array): string => {
    const path = `${cli.fresh(name)}.voucher`
    writeFileSync(path, encodePem('CMS', cms))
    return path
  }
  const codeOf = async (...words: string[]): Promise<string> => {
    const { status, err } = await cli.run(...words, '--data', data, '--json')
    assert.notEqual(status, 0)
    return JSON.parse(err).error
  }
  const good = file('good', factory.signed({ pinnedDomainCert: root, createdOn: later(5_000) }))

  assert.equal(await codeOf('voucher', 'import', good), 'voucher-foreign', 'before its maker is believed')
  const trusted = await cli.json<{ fingerprint: string; name: string }>('factory', 'trust', maker, '--data', data)
  assert.match(trusted.name, /^acme factory root/)
  const leaf = `${cli.fresh('leaf')}.pem`
  writeFileSync(leaf, encodePem('CERTIFICATE', factory.signer.certificate.der))
  assert.equal(await codeOf('factory', 'trust', leaf), 'usage')
  const own = `${cli.fresh('own')}.pem`
  writeFileSync(own, encodePem('CERTIFICATE', root))
  assert.equal(await codeOf('factory', 'trust', own), 'usage', 'the fleet is no maker of its own')

  const [taken] = await cli.json<{ serial: string; state: string }[]>(
    'voucher',
    'import',
    good,
    '--name',
    'pump-{n}',
    '--data',
    data,
  )
  assert.deepEqual([taken!.serial, taken!.state], ['sn1', 'waiting'])
  const older = file('older', factory.signed({ pinnedDomainCert: root }))
  assert.equal(await codeOf('voucher', 'import', older), 'voucher-replayed')
  assert.equal(await codeOf('voucher', 'import', file('other', factory.signed({ createdOn: later(9_000) }))), 'voucher-foreign')
  assert.equal(await codeOf('voucher', 'import', maker), 'usage', 'a file without a voucher')
  assert.match((await cli.run('voucher', 'list', '--data', data)).out, /sn1 .* waiting .* pump-\{n\}/)

  await cli.json('voucher', 'again', 'SN1', '--data', data)
  await cli.json('voucher', 'remove', 'sn1', '--data', data)
  assert.equal(await codeOf('voucher', 'remove', 'sn1'), 'not-found')
  await cli.json('factory', 'remove', trusted.fingerprint.slice(0, 12), '--data', data)
  assert.equal(await codeOf('factory', 'remove', trusted.fingerprint), 'not-found')
})
