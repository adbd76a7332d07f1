import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { runCommand } from '#test/lab/program.ts'

/** Tokens that stand for hardware: SoftHSM, and a TPM 2.0 of swtpm behind tpm2-pkcs11. Their places go to programs by the environment. */

const softModule = '/usr/lib/softhsm/libsofthsm2.so'
const tpmModule = '/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so'

/** Of every token here. */
export const userPin = '246810'
const officerPin = '13579'

export interface HardwareToken {
  readonly folder: string
  readonly module: string
  readonly pinFile: string
  /** As after `--pkcs11`. */
  readonly uri: string
  /** What PKCS#11 is asked by other programs; returns their output. */
  tool(...words: readonly string[]): Promise<string>
  /** Takes the token out. */
  remove(): Promise<void>
  putBack(): Promise<void>
}

export type TokenKind = 'SoftHSM' | 'TPM'

/** A token with the label `adit`. One of a kind at a time: the environment is this process's. */
export async function makeToken(kind: TokenKind, scope: Pick<TestContext, 'after'>): Promise<HardwareToken> {
  const folder = mkdtempSync(join(tmpdir(), 'adit-token-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  const pinFile = join(folder, 'pin')
  writeFileSync(pinFile, `${userPin}\n`, { mode: 0o600 })
  return kind === 'SoftHSM' ? makeSoft(folder, pinFile) : makeTpm(folder, pinFile, scope)
}

async function makeSoft(folder: string, pinFile: string): Promise<HardwareToken> {
  const config = join(folder, 'softhsm2.conf')
  const write = (name: string): void => {
    mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(config, `directories.tokendir = ${join(folder, name)}\nobjectstore.backend = file\nlog.level = ERROR\n`)
  }
  write('tokens')
  process.env.SOFTHSM2_CONF = config
  await must('softhsm2-util', ['--init-token', '--free', '--label', 'adit', '--pin', userPin, '--so-pin', officerPin])
  return {
    ...place(folder, pinFile, softModule),
    remove: async () => write('nothing'),
    putBack: async () => write('tokens'),
  }
}

async function makeTpm(folder: string, pinFile: string, scope: Pick<TestContext, 'after'>): Promise<HardwareToken> {
  const [state, store, socket] = [join(folder, 'state'), join(folder, 'store'), join(folder, 'tpm')]
  for (const path of [state, store]) mkdirSync(path)
  let tpm: ChildProcess | undefined
  const start = async (): Promise<void> => {
    const places = [
      '--tpmstate',
      `dir=${state}`,
      '--ctrl',
      `type=unixio,path=${socket}.ctrl`,
      '--server',
      `type=unixio,path=${socket}`,
    ]
    tpm = spawn('swtpm', ['socket', '--tpm2', ...places, '--flags', 'not-need-init,startup-clear'], { stdio: 'ignore' })
    for (let tries = 0; !existsSync(socket); tries++) {
      if (tries > 500) throw new Error('swtpm does not start')
      await wait(20)
    }
  }
  const stop = async (): Promise<void> => {
    if (tpm === undefined) return
    const ended = new Promise((done) => tpm?.once('exit', done))
    tpm.kill()
    await ended
    tpm = undefined
    for (const path of [socket, `${socket}.ctrl`]) rmSync(path, { force: true })
  }
  scope.after(stop)
  process.env.TPM2_PKCS11_TCTI = `swtpm:path=${socket}`
  process.env.TPM2_PKCS11_STORE = store
  process.env.TPM2_PKCS11_LOG_LEVEL = '0'
  process.env.TSS2_LOG = 'all+none'
  await start()
  const token = place(folder, pinFile, tpmModule)
  await token.tool('--slot-index', '0', '--init-token', '--label', 'adit', '--so-pin', officerPin)
  const officer = ['--login', '--login-type', 'so', '--so-pin', officerPin]
  await token.tool('--token-label', 'adit', ...officer, '--init-pin', '--pin', userPin)
  const putBack = async (): Promise<void> => {
    await start()
    // A TPM that loses power counts that as a wrong try of its PIN.
    await must('tpm2_dictionarylockout', ['--tcti', process.env.TPM2_PKCS11_TCTI!, '--clear-lockout'])
  }
  return { ...token, remove: stop, putBack }
}

function place(folder: string, pinFile: string, module: string): Omit<HardwareToken, 'remove' | 'putBack'> {
  const uri = `pkcs11:token=adit;object=unit-key?module-path=${module}&pin-source=${pinFile}`
  return { folder, module, pinFile, uri, tool: (...words) => must('pkcs11-tool', ['--module', module, ...words]) }
}

async function must(program: string, words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCommand(program, words)
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${stderr}`)
  return stdout
}
