import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSerial } from '#shared/enrolment/unit-serial.ts'

/**
 * The serial number that the board itself tells: of the CPU where the firmware passes it on in the device tree (Raspberry Pi and most ARM
 * boards, 16 hex digits) or in /proc/cpuinfo (older kernels), else of the product as DMI has it. In lower case; undefined where none is
 * told, or one of zeros or words, as boards have it whose maker wrote none. `root`: where `proc` and `sys` are.
 */
export async function boardSerial(root = '/'): Promise<string | undefined> {
  return (
    serialIn(await textOf(join(root, 'proc/device-tree/serial-number'))) ??
    serialIn(/^Serial\s*:\s*(\S+)\s*$/m.exec(await textOf(join(root, 'proc/cpuinfo')))?.[1] ?? '') ??
    serialIn(await textOf(join(root, 'sys/class/dmi/id/product_serial')))
  )
}

/** Whether both are serial numbers of CPUs as Raspberry Pi boards tell them, so that they can be compared at all; scanned ones need not be. */
export const isCpuSerial = (serial: string): boolean => /^[0-9a-f]{16}$/.test(serial)

function serialIn(text: string): string | undefined {
  const serial = text.replaceAll('\0', '').trim().toLowerCase()
  return isSerial(serial) && !/^0+$/.test(serial) && /[0-9]/.test(serial) ? serial : undefined
}

const textOf = (path: string): Promise<string> => readFile(path, 'latin1').catch(() => '')
