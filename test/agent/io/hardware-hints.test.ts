import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'node:test'
import { hardwareHints } from '#agent/io/hardware-hints.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { differingHints, isSameBoard, likeness } from '#shared/enrolment/hardware-hints.ts'

test('A-45 hints of a Pi-like machine: each hashed under the salt, none in the clear, hardware interfaces alone', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'adit-hints-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  put('proc/device-tree/serial-number', '10000000abcdef01\0')
  put('proc/device-tree/model', 'Raspberry Pi 4 Model B Rev 1.4\0')
  put('sys/block/mmcblk0/device/cid', '035344534333324780a1b2c3d4014100\n')
  put('etc/machine-id', '0123456789abcdef0123456789abcdef\n')
  for (const [name, mac, assigned, hardware] of [
    ['eth0', 'dc:a6:32:01:02:03', '0', true],
    ['wlan0', 'dc:a6:32:01:02:04', '0', true],
    ['usb0', '02:11:22:33:44:55', '3', true],
    ['veth1', 'dc:a6:32:09:09:09', '0', false],
    ['lo', '00:00:00:00:00:00', '0', false],
  ] as const) {
    put(`sys/class/net/${name}/address`, `${mac}\n`)
    put(`sys/class/net/${name}/addr_assign_type`, `${assigned}\n`)
    if (hardware) put(`sys/class/net/${name}/device/uevent`, '')
  }
  const hints = await hardwareHints('fd00::/48', nativeSuite, root)
  assert.equal(hints.macs?.length, 2)
  const text = JSON.stringify(hints)
  for (const raw of ['10000000abcdef01', 'dc:a6', 'Raspberry', '03534453']) assert.equal(text.includes(raw), false, raw)
  assert.match(hints.cpu ?? '', /^[0-9a-f]{32}$/)
  assert.deepEqual(await hardwareHints('fd00::/48', nativeSuite, root), hints)
  const elsewhere = await hardwareHints('fd01::/48', nativeSuite, root)
  assert.equal(likeness(hints, elsewhere), 0, 'another fleet, another salt')
  put('sys/class/net/eth0/address', 'dc:a6:32:ff:ff:ff\n')
  const changed = await hardwareHints('fd00::/48', nativeSuite, root)
  assert.deepEqual(differingHints(hints, changed), ['macs'])
  assert.equal(isSameBoard(hints, changed), true)
  assert.deepEqual(await hardwareHints('fd00::/48', nativeSuite, join(root, 'empty')), {
    cpu: undefined,
    card: undefined,
    macs: undefined,
    model: undefined,
    machine: undefined,
  })
})
