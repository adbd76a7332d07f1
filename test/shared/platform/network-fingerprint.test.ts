import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { networkFingerprint, viewNetwork } from '#shared/platform/network-fingerprint.ts'

const route = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
`
const arp = `IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         aa:bb:cc:00:11:22     *        eth0
192.168.2.1      0x1         0x0         00:00:00:00:00:00     *        wlan0
`

/** A machine that shows these files. */
async function machine(t: TestContext, files: Record<string, string>) {
  const root = await mkdtemp(join(tmpdir(), 'adit-network-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
  return { proc: join(root, 'proc'), sys: join(root, 'sys') }
}

test('the default route of the least metric, its gateway, the MAC address that was resolved, and the kind of link', async (t) => {
  const wired = await machine(t, { 'proc/net/route': route, 'proc/net/arp': arp, 'sys/class/net/eth0/type': '1\n' })
  assert.deepEqual(await viewNetwork(wired), {
    interface: 'eth0',
    gateway: '192.168.1.1',
    mac: 'aa:bb:cc:00:11:22',
    link: 'ethernet',
  })
  const withoutCable = route
    .split('\n')
    .filter((line) => !line.startsWith('eth0'))
    .join('\n')
  const wireless = await machine(t, {
    'proc/net/route': withoutCable,
    'proc/net/arp': arp,
    'proc/net/wireless': 'Inter-| sta-|\n face | tus |\n wlan0: 0000   60.  -50.\n',
    'sys/class/net/wlan0/type': '1\n',
  })
  assert.deepEqual(await viewNetwork(wireless), { interface: 'wlan0', gateway: '192.168.2.1', mac: undefined, link: 'wifi' })
})

test('a modem without a gateway, an IPv6-only network, and a machine that shows nothing', async (t) => {
  const modem = await machine(t, {
    'proc/net/route': 'Iface Destination Gateway Flags RefCnt Use Metric Mask\nwwan0 00000000 00000000 0001 0 0 0 00000000\n',
    'sys/class/net/wwan0/type': '519\n',
  })
  assert.deepEqual(await viewNetwork(modem), { interface: 'wwan0', gateway: undefined, mac: undefined, link: 'mobile' })
  const zero = '0'.repeat(32)
  const six = await machine(t, {
    'proc/net/ipv6_route': `${zero} 00 ${zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
${zero} 00 ${zero} 00 ${zero} ffffffff 00000001 00000000 00200200       lo
`,
    'sys/class/net/eth0/type': '1\n',
  })
  assert.equal((await viewNetwork(six))?.gateway, 'fe80:0000:0000:0000:0000:0000:0000:0001')
  assert.equal(await viewNetwork(await machine(t, {})), undefined)
  assert.equal(await networkFingerprint({ salt: '', publicAddress: '' }, await machine(t, {})), undefined)
})

test('a fingerprint names nothing, is stable, and changes with gateway, public address and salt', async (t) => {
  const files = { 'proc/net/route': route, 'proc/net/arp': arp, 'sys/class/net/eth0/type': '1\n' }
  const here = await machine(t, files)
  const there = await machine(t, { ...files, 'proc/net/arp': arp.replace('aa:bb', 'aa:bc') })
  const asked = { salt: 's', publicAddress: '198.51.100.1' }
  const prints = [
    await networkFingerprint(asked, here),
    await networkFingerprint(asked, there),
    await networkFingerprint({ ...asked, publicAddress: '198.51.100.2' }, here),
    await networkFingerprint({ ...asked, salt: 't' }, here),
  ]
  assert.equal(new Set(prints).size, 4)
  for (const print of prints) assert.match(print ?? '', /^[0-9a-f]{32}$/)
  assert.equal(await networkFingerprint(asked, here), prints[0])
})

test('bad-input: tables of rubbish are a network that is not known', async (t) => {
  const rubbish = await machine(t, {
    'proc/net/route': 'x\n00000000 00000000\n\0\xff',
    'proc/net/ipv6_route': '\n\n  \nffff',
    'proc/net/arp': '?',
  })
  assert.equal(await viewNetwork(rubbish), undefined)
})
