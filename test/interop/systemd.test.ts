import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..', '..')
const installed = spawnSync('systemd-analyze', ['--version']).status === 0
const skip = installed ? false : 'systemd-analyze (Debian package systemd) is not here'
/** "OK" begins below 5.0; what is left is the network itself, which is the service's work. */
const exposureLimit = 2.5

for (const name of ['adit-agent', 'adit-broker']) {
  const path = join(root, name.slice('adit-'.length), 'systemd', `${name}.service`)

  test(`${name}.service: systemd understands each line, and it is exposed by ${exposureLimit} of 10 at most`, {
    skip,
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'adit-unit-'))
    t.after(() => rm(folder, { recursive: true }))
    const unit = join(folder, `${name}.service`)
    // The program need not be installed here.
    await writeFile(unit, (await readFile(path, 'utf8')).replace(`/usr/bin/${name} `, '/bin/true '))
    const verified = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
    assert.equal(verified.stderr, '')
    assert.equal(verified.status, 0)
    const judged = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], { encoding: 'utf8' })
    const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(judged.stdout)?.[1])
    assert.ok(exposure <= exposureLimit, judged.stdout)
  })

  test(`${name}.service: no root, and CAP_NET_ADMIN alone`, async () => {
    const unit = await readFile(path, 'utf8')
    assert.match(unit, new RegExp(`^User=${name}$`, 'm'))
    for (const set of ['AmbientCapabilities', 'CapabilityBoundingSet'])
      assert.match(unit, new RegExp(`^${set}=CAP_NET_ADMIN$`, 'm'))
    assert.match(unit, /^NoNewPrivileges=yes$/m)
    assert.match(unit, new RegExp(`^ExecStart=/usr/bin/${name} run .*--tun$`, 'm'))
    assert.match(await readFile(path.replace(/service$/, 'sysusers.conf'), 'utf8'), new RegExp(`^u ${name} `, 'm'))
  })
}

for (const [name, limit] of [
  ['adit-agent-adopt.service', 2],
  ['adit-agent-console@.service', 9.5],
] as const)
  test(`${name}: systemd understands each line; no root, and no network`, { skip }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'adit-unit-'))
    t.after(() => rm(folder, { recursive: true }))
    const text = await readFile(join(root, 'agent', 'systemd', name), 'utf8')
    const unit = join(folder, name.replace('@', '@ttyAMA0'))
    await writeFile(unit, text.replace('/usr/bin/adit-agent ', '/bin/true '))
    const verified = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
    assert.equal(verified.stderr, '')
    const judged = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], { encoding: 'utf8' })
    const exposure = Number(/exposure level for \S+: ([\d.]+)/.exec(judged.stdout)?.[1])
    assert.ok(exposure <= limit, judged.stdout)
    for (const line of ['User=adit-agent', 'NoNewPrivileges=yes', 'PrivateNetwork=yes', 'UMask=0077'])
      assert.match(text, new RegExp(`^${line}$`, 'm'))
  })
