import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { after, before, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { type Device, Fleet, type Operator } from '#test/lab/fleet.ts'
import { runCommand } from '#test/lab/program.ts'
import { Sshd } from '#test/lab/sshd.ts'

/** OpenSSH, client and server, through broker, agent and operator as a person runs them. */
describe('OpenSSH through the tunnel', () => {
  const endings: (() => unknown)[] = []
  const scope = { after: (ending: () => unknown) => void endings.push(ending) }
  let fleet: Fleet
  let sshd: Sshd
  let device: Device
  let ann: Operator

  before(async () => {
    sshd = await Sshd.start(scope)
    fleet = await Fleet.start(scope)
    device = await fleet.device('pi-1', { services: [`ssh=${sshd.where}`] })
    ann = await fleet.operator('ann')
    await fleet.grant('ann', 'pi-1', 22)
  })

  after(async () => {
    for (const ending of endings.reverse()) await ending()
  })

  const ssh = (...words: string[]): string[] => ['ssh', ...sshd.flags, '-l', sshd.user, ...words]

  test('the first ssh asks nothing; exec carries input, both outputs and the exit status', async () => {
    const words = ssh('pi-1', '--', 'cat; echo to-stderr >&2; exit 7')
    const { status, stdout, stderr } = await ann.run(words, { input: 'carried' })
    assert.deepEqual({ status, stdout, stderr }, { status: 7, stdout: 'carried', stderr: 'to-stderr\n' })
  })

  test('a terminal', async () => {
    const line = ['adit', ...ssh('-tt', 'pi-1', '--', 'tty; stty size')].map(quoted).join(' ')
    const path = `${join(import.meta.dirname, '..', '..', 'node_modules', '.bin')}:${process.env.PATH}`
    const { status, stdout } = await runCommand('script', ['-qec', `stty rows 33 cols 99; ${line}`, '/dev/null'], {
      env: { ...ann.env, PATH: path },
    })
    assert.equal(status, 0, stdout)
    assert.match(stdout, /\/dev\/pts\/\d+\r\n33 99/)
  })

  test('scp, sftp and rsync of 100 MB through adit ssh-config, and adit cp: equal checksums', { timeout: 240_000 }, async (t) => {
    const config = join(fleet.folder, 'ssh_config')
    writeFileSync(config, await ann.must(['ssh-config']))
    const source = join(fleet.folder, 'source')
    const expected = await makeFile(source, 100_000_000)
    const at = (name: string): string => join(fleet.folder, name)
    const flags = ['-F', config, ...sshd.flags]
    const host = `${sshd.user}@pi-1.adit`
    const moved = async (how: string, command: string, args: string[], result: string, input = ''): Promise<void> => {
      const from = performance.now()
      const { status, stderr } = await runCommand(command, args, { input, timeoutMs: 120_000 })
      assert.equal(status, 0, `${how}: ${stderr}`)
      const seconds = (performance.now() - from) / 1_000
      assert.equal(await digest(result), expected, `${how}: the checksums are equal`)
      t.diagnostic(`${how}: 100 MB in ${seconds.toFixed(1)} s, ${((800 / seconds) | 0).toString()} Mbit/s`)
    }
    await moved('scp up', 'scp', [...flags, source, `${host}:${at('scp-up')}`], at('scp-up'))
    await moved('sftp down', 'sftp', [...flags, '-b', '-', host], at('sftp-down'), `get ${source} ${at('sftp-down')}\n`)
    const shell = ['ssh', ...flags].map(quoted).join(' ')
    await moved('rsync up', 'rsync', ['-e', shell, source, `${host}:${at('rsync-up')}`], at('rsync-up'))
    writeFileSync(at('small'), randomBytes(1_000_000))
    const words = ['cp', ...sshd.flags, at('small'), `${sshd.user}@pi-1:${at('cp-up')}`]
    assert.equal((await ann.run(words)).status, 0)
    assert.equal(await digest(at('cp-up')), await digest(at('small')))
  })

  test('twenty at once', async (t) => {
    const from = performance.now()
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ann.run(ssh('pi-1', '--', `echo ${i}`), { timeoutMs: 90_000 })),
    )
    for (const [i, { status, stdout, stderr }] of all.entries()) assert.equal(stdout, `${i}\n`, `${status} ${stderr}`)
    t.diagnostic(`${Math.round(performance.now() - from)} ms`)
  })

  test('a tunnel process that was killed leaves nothing behind that hinders the next command', async () => {
    const [pid] = tunnelProcesses(ann.state)
    assert.ok(pid, 'one runs')
    process.kill(pid, 'SIGKILL')
    assert.equal(await ann.must(ssh('pi-1', '--', 'echo again')), 'again\n')
    assert.equal(tunnelProcesses(ann.state).length, 1)
  })

  test('a changed host key is refused loudly until it is accepted', async () => {
    const before = hostKeysOf(await ann.must(['devices', '--json']), 'pi-1')
    await sshd.changeHostKey()
    // Until the agent has seen the new key, ssh itself refuses it against the pin.
    const first = await ann.run(ssh('pi-1', '--', 'true'))
    assert.notEqual(first.status, 0)
    assert.match(first.stderr, /HOST IDENTIFICATION HAS CHANGED|host-key-changed/)
    await until(async () => hostKeysOf(await ann.must(['devices', '--json']), 'pi-1').changed !== null, 15_000)
    assert.equal(await ann.refused(ssh('pi-1', '--', 'true')), 'host-key-changed')
    await ann.must(['devices', 'accept-key', 'pi-1'])
    assert.equal(await ann.must(ssh('pi-1', '--', 'echo new')), 'new\n')
    assert.notDeepEqual(hostKeysOf(await ann.must(['devices', '--json']), 'pi-1').keys, before.keys)
  })

  test('a device that is unknown, not granted, offline or revoked: one sentence, its code, a non-zero exit', async () => {
    await fleet.device('pi-hidden', { services: [`ssh=${sshd.where}`] })
    assert.equal(await ann.refused(ssh('pi-nowhere', '--', 'true')), 'device-unknown')
    assert.equal(await ann.refused(ssh('pi-hidden', '--', 'true')), 'forbidden')
    assert.equal(await ann.refused(ssh('pi/1', '--', 'true')), 'name-invalid')
    assert.equal(await ann.refused(ssh('pi\u001b[31m', '--', 'true')), 'name-invalid')
    await fleet.claim('device', 'pi-never')
    const forbidden = await ann.run(ssh('-p', '8022', 'pi-1', '--', 'true'))
    assert.match(forbidden.stderr, /No grant lets you reach port 8022 of pi-1\..*\(forbidden\)/)
    assert.notEqual(forbidden.status, 0)

    await device.stop()
    await until(async () => (await ann.run(ssh('pi-1', '--', 'true'))).stderr.includes('(device-offline)'), 20_000)
    assert.equal(await ann.refused(ssh('pi-1', '--', 'true')), 'device-offline')
    await device.start()
    await until(async () => (await ann.run(ssh('pi-1', '--', 'true'))).status === 0, 20_000)

    // A session that is open is cut with the revocation; ssh's own probes notice.
    const probes = ['-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=3']
    const open = ann.run(ssh(...probes, 'pi-1', '--', 'echo open; sleep 60'))
    await wait(5_000)
    await fleet.admin('device', 'revoke', 'pi-1')
    const code = await ann.refused(ssh('pi-1', '--', 'true'))
    assert.ok(code === 'device-revoked' || code === 'device-unknown', code)
    const { status, stdout } = await open
    assert.deepEqual({ status, stdout }, { status: 255, stdout: 'open\n' })
  })
})

interface HostKeys {
  keys: string[]
  changed: string[] | null
}

function hostKeysOf(devices: string, name: string): HostKeys {
  const list = JSON.parse(devices) as { name: string; hostKeys: Record<string, HostKeys> }[]
  const keys = list.find((device) => device.name === name)?.hostKeys.ssh
  assert.ok(keys, `${name} has reported its host keys`)
  return keys
}

async function until(holds: () => Promise<boolean>, withinMs: number): Promise<void> {
  const from = performance.now()
  while (!(await holds())) {
    assert.ok(performance.now() - from < withinMs, `not within ${withinMs} ms`)
    await wait(200)
  }
}

/** A file of bytes that no compression makes smaller; returns its digest. */
async function makeFile(path: string, bytes: number): Promise<string> {
  const piece = randomBytes(1_000_000)
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes; at += piece.length) {
      piece.writeUInt32LE(at, 0)
      yield Buffer.from(piece)
    }
  }
  await pipeline(pieces, createWriteStream(path))
  return digest(path)
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

function tunnelProcesses(state: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        return words.includes('tunnel-process') && words.includes(state)
      } catch {
        return false
      }
    })
    .map(Number)
}

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`
