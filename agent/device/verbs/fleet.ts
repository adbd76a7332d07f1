import { join, resolve } from 'node:path'
import { AgentSocketClient } from '#agent/io/agent-socket.ts'
import { alreadyPinned, readPin, savePin } from '#agent/io/fleet-keeper.ts'
import { isEnrolledFolder, notEnrolled, StateFolder, stateFiles, stateFolderPath } from '#agent/io/state-folder.ts'
import { equalPublic } from '#shared/bytes/equal.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { AditError, isAditError } from '#shared/errors.ts'
import { keyFingerprint, parseFleetKey } from '#shared/fleet/key-fingerprint.ts'
import { lockFolder } from '#shared/platform/lock.ts'
import type { FleetPinFlags } from '../command-line.ts'

/** `adit-agent fleet pin PUBLICKEY`: through the running agent, or in its folder where none runs. */
export async function fleetPinVerb(text: string, flags: FleetPinFlags): Promise<void> {
  const key = parseFleetKey(text)
  const path = resolve(stateFolderPath(flags.state, 'adit-agent'))
  if (!isEnrolledFolder(path)) throw notEnrolled(path)
  if (!(await pinByAgent(path, text.trim(), flags.replace ?? false))) await pinHere(path, key, flags.replace ?? false)
  tell({ pinned: true, key, json: flags.json ?? false })
}

/** `adit-agent fleet show` */
export async function fleetShowVerb(flags: { state?: string; json?: boolean }): Promise<void> {
  const path = resolve(stateFolderPath(flags.state, 'adit-agent'))
  if (!isEnrolledFolder(path)) throw notEnrolled(path)
  tell({ pinned: false, key: await readPin(await StateFolder.open(path)), json: flags.json ?? false })
}

/** False where no agent runs on the folder. */
async function pinByAgent(path: string, key: string, replace: boolean): Promise<boolean> {
  let client: AgentSocketClient
  try {
    client = await AgentSocketClient.connect(join(path, stateFiles.socket))
  } catch (error) {
    if (isAditError(error) && error.code === 'tunnel-unreachable') return false
    throw error
  }
  try {
    await client.request({ op: 'fleet-pin', key, replace })
    return true
  } finally {
    client.close()
  }
}

async function pinHere(path: string, key: Uint8Array, replace: boolean): Promise<void> {
  const folder = await StateFolder.open(path)
  const lock = await lockFolder(folder.path, 'adit-agent fleet pin')
  try {
    const before = await readPin(folder)
    if (before !== undefined && !equalPublic(before, key) && !replace) throw alreadyPinned(keyFingerprint(before, nativeSuite))
    await savePin(folder, key)
  } finally {
    await lock.release()
  }
}

function tell({ pinned, key, json }: { pinned: boolean; key: Uint8Array | undefined; json: boolean }): void {
  if (key === undefined && !json)
    throw new AditError(
      'not-found',
      "No fleet key is pinned here: the broker's word counts.",
      'Pin one: adit-agent fleet pin KEY.',
    )
  const document = {
    key: key === undefined ? null : Buffer.from(key).toString('base64'),
    fingerprint: key === undefined ? null : keyFingerprint(key, nativeSuite),
  }
  const sentence = `${pinned ? 'Pinned. Compare the fingerprint' : 'Fingerprint of the pinned fleet key'}: ${document.fingerprint}\n`
  process.stdout.write(json ? `${JSON.stringify(document)}\n` : sentence)
}
