import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { encodePem } from '#shared/pki/pem.ts'
import { canStation, openCanned } from '#test/agent/station/canned-station.ts'

test('P-16 openssl verifies what a station issued, through its CA with its scope and constraints', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-station-ca-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const can = canStation(10)
  const { desk, ledger } = await openCanned(can, join(folder, 'ledger.db'))
  t.after(() => ledger.close())
  await desk.open('cpu1', 'image')
  const { chain } = await desk.bundle('cpu1')
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const root = file('root.pem', encodePem('CERTIFICATE', new Uint8Array(Buffer.from(can.root, 'base64'))))
  const leaf = file('chain.pem', chain)
  const openssl = (...words: string[]) => spawnSync('openssl', words, { encoding: 'utf8' })
  const verified = openssl('verify', '-x509_strict', '-purpose', 'sslclient', '-CAfile', root, '-untrusted', leaf, leaf)
  assert.equal(verified.status, 0, verified.stderr)
  const shown = openssl(
    'x509',
    '-in',
    file('own.pem', encodePem('CERTIFICATE', new Uint8Array(Buffer.from(can.own, 'base64')))),
    '-noout',
    '-text',
  )
  assert.match(shown.stdout, /CA:TRUE, pathlen:0/)
  assert.match(shown.stdout, /Excluded:\s+DNS:/)
})
