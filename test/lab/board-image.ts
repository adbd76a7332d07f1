import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { buildBundle, Program } from '#test/lab/program.ts'

const checkout = join(import.meta.dirname, '..', '..')
const sector = 512
const boot = { first: 8192, count: 131_072, type: 'c' }
const root = { first: boot.first + boot.count, count: 655_360, type: '83' }
/** Of the user adit-agent in the image. */
const uid = 991

const tool = (name: string, ...words: string[]): string =>
  execFileSync(name, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })

/**
 * A card like Raspberry Pi OS's, of this machine's processor: an MBR, a FAT32 partition with what a firmware reads, an ext4 partition with the
 * agent's bundle, what it runs on, and its units. Debian's tools make it. Needs root.
 */
export class BoardImage {
  readonly folder = mkdtempSync(join(tmpdir(), 'adit-image-'))
  readonly path = join(this.folder, 'card.img')

  constructor(t: Pick<TestContext, 'after'>) {
    t.after(() => rmSync(this.folder, { recursive: true, force: true }))
    tool('cp', '--sparse=always', template(), this.path)
  }

  /** The boot partition's bytes, as they lie on the card. */
  bootBytes(): Buffer {
    return readFileSync(this.path).subarray(boot.first * sector, (boot.first + boot.count) * sector)
  }

  /** What fsck.fat, which repairs nothing here, says of it. */
  fsck(): { status: number | null; said: string } {
    const alone = join(this.folder, 'judged')
    writeFileSync(alone, this.bootBytes())
    const { status, stdout } = spawnSync('fsck.fat', ['-n', '-v', alone], { encoding: 'utf8' })
    rmSync(alone)
    return { status, said: stdout }
  }

  /** Puts the card into a board and gives it power. The FAT partition is mounted by FUSE: not every kernel can. */
  powerOn(t: Pick<TestContext, 'after'>): Board {
    return new Board(t, this.path)
  }
}

/** A machine that has started from the card, with namespaces of its own for its files and processes. */
export class Board {
  readonly #mount = mkdtempSync(join(tmpdir(), 'adit-board-'))
  readonly #loops: string[] = []
  #off = false

  constructor(t: Pick<TestContext, 'after'>, image: string) {
    t.after(() => this.powerOff())
    const loop = ({ first, count }: { first: number; count: number }): string => {
      const words = ['--offset', String(first * sector), '--sizelimit', String(count * sector), image]
      const device = tool('losetup', '--find', '--show', ...words).trim()
      this.#loops.push(device)
      return device
    }
    tool('mount', loop(root), this.#mount)
    tool('fusefat', '-o', 'rw+,allow_other,default_permissions', loop(boot), join(this.#mount, 'boot/firmware'))
    tool('mount', '-t', 'proc', 'proc', join(this.#mount, 'proc'))
    tool('mount', '--bind', '/dev', join(this.#mount, 'dev'))
  }

  /** A path of the board, as it is here. */
  path(path: string): string {
    return join(this.#mount, path)
  }

  /** Whether systemd would start that unit: any of its conditions with a bar, all of the others. */
  wants(unit: string): boolean {
    const conditions = [...this.#unit(unit).matchAll(/^ConditionPathExists=(\|?)(!?)(.*)$/gm)].map(([, bar, not, path]) => ({
      any: bar === '|',
      holds: existsSync(this.path(path!)) !== (not === '!'),
    }))
    const either = conditions.filter(({ any }) => any)
    return conditions.every(({ any, holds }) => any || holds) && (either.length === 0 || either.some(({ holds }) => holds))
  }

  /** Runs the unit's command as its user with its capabilities; the power goes after `moment` ms. */
  run(unit: string, moment = 60_000): { status: number | null; stdout: string; stderr: string } {
    const [command, ...words] = this.#command(unit)
    return spawnSync(command!, words, { encoding: 'utf8', timeout: moment, killSignal: 'SIGKILL' })
  }

  /** The same, of a unit that runs on; `more`: further words. */
  start(unit: string, ...more: string[]): Program {
    const [command, ...words] = this.#command(unit)
    return Program.command(command!, [...words.filter((word) => word !== '--tun'), ...more])
  }

  powerOff(): void {
    if (this.#off) return
    this.#off = true
    for (const place of ['dev', 'proc', 'boot/firmware', '']) spawnSync('umount', ['--lazy', join(this.#mount, place)])
    for (const device of this.#loops) spawnSync('losetup', ['--detach', device])
    rmSync(this.#mount, { recursive: true, force: true })
  }

  #unit(name: string): string {
    return readFileSync(this.path(`etc/systemd/system/${name}`), 'utf8')
  }

  #command(name: string): string[] {
    const unit = this.#unit(name)
    const of = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(unit)?.[1] ?? ''
    const capabilities = of('AmbientCapabilities')
      .split(' ')
      .map((capability) => capability.replace(/^CAP_/, '').toLowerCase())
    const rights = capabilities.map((capability) => `+${capability}`).join(',')
    const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', `--inh-caps=-all,${rights}`, `--ambient-caps=${rights}`]
    // A change of user forgets what unshare has asked for: to die with it.
    const bounded = ['--bounding-set', `-all,${rights}`, '--no-new-privs', '--pdeathsig', 'KILL']
    const inside = ['chroot', this.#mount, '/usr/bin/setpriv', ...user, ...bounded, ...of('ExecStart').split(' ')]
    return [
      'unshare',
      '--mount',
      '--pid',
      '--uts',
      '--ipc',
      '--fork',
      '--kill-child',
      'env',
      '-i',
      'PATH=/usr/bin:/usr/sbin:/bin',
      ...inside,
    ]
  }
}

let made: string | undefined

/** Made once a process, and copied for each test. */
function template(): string {
  if (made !== undefined) return made
  const folder = mkdtempSync(join(tmpdir(), 'adit-template-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  buildBundle()
  const [path, bootPart, rootPart] = [join(folder, 'card.img'), join(folder, 'boot'), join(folder, 'root')]
  tool('truncate', '-s', String(boot.count * sector), bootPart)
  tool('mkfs.vfat', '-F', '32', '-n', 'bootfs', bootPart)
  writeFileSync(join(folder, 'config.txt'), 'arm_64bit=1\n')
  tool('mcopy', '-i', bootPart, join(folder, 'config.txt'), '::')
  const tree = join(folder, 'tree')
  plantRoot(tree)
  tool('truncate', '-s', String(root.count * sector), rootPart)
  tool('mkfs.ext4', '-q', '-d', tree, rootPart)
  rmSync(tree, { recursive: true })
  tool('truncate', '-s', String((root.first + root.count) * sector), path)
  const table = [boot, root].map(({ first, count, type }) => `start=${first}, size=${count}, type=${type}\n`).join('')
  execFileSync('sfdisk', ['--quiet', path], { input: `label: dos\n${table}` })
  for (const [part, { first }] of [
    [bootPart, boot],
    [rootPart, root],
  ] as const) {
    tool('dd', `if=${part}`, `of=${path}`, 'bs=1M', `seek=${(first * sector) / (1 << 20)}`, 'conv=notrunc,sparse', 'status=none')
    rmSync(part)
  }
  made = path
  return path
}

/** The files of the ext4 partition. */
function plantRoot(tree: string): void {
  for (const folder of ['boot/firmware', 'proc', 'dev', 'tmp', 'etc/systemd/system', 'usr/bin', 'usr/lib/adit', 'var/lib'])
    mkdirSync(join(tree, folder), { recursive: true })
  symlinkSync('usr/bin', join(tree, 'bin'))
  chmodSync(join(tree, 'tmp'), 0o1777)
  for (const program of ['node', 'sh', 'setpriv', 'env']) plantProgram(tree, program)
  const modules = join(tree, 'usr/lib/adit/node_modules')
  cpSync(join(checkout, 'dist'), join(tree, 'usr/lib/adit'), { recursive: true })
  for (const name of ['sqlite3', 'bindings', 'file-uri-to-path'])
    cpSync(join(checkout, 'node_modules', name), join(modules, name), {
      recursive: true,
      filter: (path) => !/\/(deps|src)$/.test(path),
    })
  symlinkSync('../lib/adit/adit-agent.js', join(tree, 'usr/bin/adit-agent'))
  for (const unit of ['adit-agent.service', 'adit-agent-adopt.service'])
    copyFileSync(join(checkout, 'agent/systemd', unit), join(tree, 'etc/systemd/system', unit))
  writeFileSync(join(tree, 'etc/passwd'), `root:x:0:0::/:/bin/sh\nadit-agent:x:${uid}:${uid}::/var/lib/adit-agent:/bin/false\n`)
  // As StateDirectory= makes it.
  execFileSync('install', ['-d', '-m', '0700', '-o', String(uid), '-g', String(uid), join(tree, 'var/lib/adit-agent')])
}

/** With the libraries that it loads. */
function plantProgram(tree: string, name: string): void {
  const path = name === 'node' ? process.execPath : tool('which', name).trim()
  const needed = tool('ldd', path).matchAll(/(\/\S+) \(0x/g)
  copyFileSync(realpathSync(path), join(tree, 'usr/bin', name))
  for (const [, library] of needed) {
    mkdirSync(join(tree, dirname(library!)), { recursive: true })
    copyFileSync(realpathSync(library!), join(tree, library!))
  }
}
