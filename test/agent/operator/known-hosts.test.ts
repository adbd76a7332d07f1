import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { withDevice } from '#agent/operator/known-hosts.ts'

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxHMrFVMMWFOYgZyHhDhK0HGm0ZqVjdtG3UfUjwyNpc'
const other = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1hUDdQWQ8iXmFr0QqF1Cn7hYkV1m0B9u3a3n8pYV3Z'

test('pins replace the lines of their device, also those that ssh wrote at first use, and leave the others', () => {
  const before = `box.adit,[box.adit]:* ${other}\n[pi.adit]:2222 ${other}\npi.adit ${other}\n`
  const after = withDevice(before, 'pi', [`${key} root@pi`])
  assert.equal(after, `box.adit,[box.adit]:* ${other}\npi.adit,[pi.adit]:* ${key}\n`)
  assert.equal(withDevice(after, 'pi', [`${key} root@pi`]), after)
})

test('a device without pins keeps what ssh wrote, and a line that is no key writes nothing', () => {
  assert.equal(withDevice(`pi.adit ${other}\n`, 'pi', []), `pi.adit ${other}\n`)
  assert.equal(withDevice('', 'pi', ['evil AAAA\nbox.adit ssh-ed25519 AAAA', '@cert-authority * ssh-rsa AAAA']), '')
})

test('OpenSSH finds the pin at any port', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'adit-known-hosts-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'known_hosts')
  writeFileSync(file, withDevice('', 'pi', [key]))
  const find = (host: string): string => {
    try {
      return execFileSync('ssh-keygen', ['-F', host, '-f', file], { encoding: 'utf8' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') t.skip('no ssh-keygen here')
      return ''
    }
  }
  for (const host of ['pi.adit', '[pi.adit]:2222']) assert.match(find(host), /AAAAC3Nza/)
  assert.equal(find('box.adit'), '')
})
