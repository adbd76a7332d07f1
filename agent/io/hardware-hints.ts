import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '#shared/bytes/hex.ts'
import type { Suite } from '#shared/crypto/suite.ts'
import type { HardwareHints } from '#shared/enrolment/hardware-hints.ts'
import { boardSerial } from './board-serial.ts'

/** Bytes of a hint: nobody can turn it round for less than what was in it, and no two boards of a fleet share one. */
const HINT_LENGTH = 16
/** Interfaces that are told of. */
const macLimit = 16

/**
 * What this machine shows of itself, hashed under `salt` (a text that a fleet keeps for ever), so that numbers of makers go nowhere. What it
 * does not show is left out. `root`: where `proc`, `sys` and `etc` are.
 */
export async function hardwareHints(salt: string, suite: Pick<Suite, 'hash'>, root = '/'): Promise<HardwareHints> {
  const hash = (kind: string, text: string): string =>
    toHex(suite.hash('sha256', Buffer.from(`adit hint\0${salt}\0${kind}\0${text}`, 'utf8')).subarray(0, HINT_LENGTH))
  const one = (kind: string, text: string | undefined): string | undefined =>
    text === undefined || text === '' ? undefined : hash(kind, text)
  const macs = await permanentMacs(join(root, 'sys/class/net'))
  const model =
    (await textOf(join(root, 'proc/device-tree/model'))) || (await textOf(join(root, 'sys/class/dmi/id/product_name')))
  return {
    cpu: one('cpu', await boardSerial(root)),
    card: one('card', await cardId(join(root, 'sys/block'))),
    macs: macs.length > 0 ? macs.map((mac) => hash('mac', mac)) : undefined,
    model: one('model', model),
    machine: one('machine', await textOf(join(root, 'etc/machine-id'))),
  }
}

/** CID of the memory card (SD, eMMC) that is there; of several the first. */
async function cardId(blocks: string): Promise<string> {
  const cards = (await namesIn(blocks)).filter((name) => /^mmcblk\d+$/.test(name)).sort()
  for (const name of cards) {
    const cid = await textOf(join(blocks, name, 'device/cid'))
    if (cid !== '') return cid
  }
  return ''
}

/** Of interfaces that are hardware, and whose address is the maker's: a phone's and a container's are another each time. */
async function permanentMacs(interfaces: string): Promise<string[]> {
  const macs: string[] = []
  for (const name of (await namesIn(interfaces)).sort()) {
    const isHardware = await stat(join(interfaces, name, 'device')).catch(() => undefined)
    const assigned = await textOf(join(interfaces, name, 'addr_assign_type'))
    const mac = await textOf(join(interfaces, name, 'address'))
    if (isHardware && assigned === '0' && /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) && !/^(00:){5}00$/.test(mac)) macs.push(mac)
  }
  return macs.slice(0, macLimit)
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])

const textOf = (path: string): Promise<string> =>
  readFile(path, 'latin1').then(
    (text) => text.replaceAll('\0', '').trim().toLowerCase(),
    () => '',
  )
