import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { giveBackStartMemory, unwrittenMappings } from '#shared/platform/linux-engine/start-memory.ts'
import { native, noNative } from './native-here.ts'

const mapping = (head: string, anonymous: number): string =>
  `${head}\nSize:  8 kB\nRss:  8 kB\nPrivate_Dirty:  0 kB\nAnonymous:        ${anonymous} kB\nVmFlags: rd mr mw me\n`

test('only what no one has written, and of that file alone', () => {
  const smaps = [
    mapping('00400000-00b6f000 r--p 00000000 fe:00 247580                             /usr/bin/node', 0),
    mapping('00b70000-025fc000 r-xp 00770000 fe:00 247580                             /usr/bin/node', 0),
    // Relocated once, and shut then.
    mapping('0563a000-0563e000 r--p 05239000 fe:00 247580                             /usr/bin/node', 16),
    mapping('0563e000-0565b000 rw-p 0523d000 fe:00 247580                             /usr/bin/node', 0),
    mapping('05660000-05661000 r--s 0523d000 fe:00 247580                             /usr/bin/node', 0),
    mapping('7f0000000000-7f0000001000 r-xp 00000000 fe:00 1                          /usr/lib/libc.so.6', 0),
    mapping('7f0000002000-7f0000003000 r-xp 00000000 fe:00 1                          /usr/bin/node (deleted)', 0),
    mapping('ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]', 0),
  ].join('')
  assert.deepEqual(unwrittenMappings(smaps, '/usr/bin/node'), [
    { from: 0x40_0000, to: 0xb6_f000 },
    { from: 0xb7_0000, to: 0x25f_c000 },
  ])
})

test('a process is smaller afterwards, and goes on', { skip: noNative }, () => {
  const resident = (): number => Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))![1])
  const before = resident()
  assert.ok(giveBackStartMemory(native) > 0)
  assert.ok(resident() < before - 4_096, `${before} kB before, ${resident()} kB after`)
  assert.equal(new Intl.NumberFormat('en').format(1_234_567), '1,234,567')
})
