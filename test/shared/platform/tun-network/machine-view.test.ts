import assert from 'node:assert/strict'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { Ip } from '#shared/platform/tun-network/ip-command.ts'
import { presentKeys, undoLines, viewMachine } from '#shared/platform/tun-network/machine-view.ts'
import { overlapOf } from '#shared/platform/tun-network/overlap.ts'
import { settingsOf } from '#shared/platform/tun-network/setting.ts'
import { checkedPlan } from '#shared/platform/tun-network/tun-plan.ts'

const plan = checkedPlan({
  name: 'adit0',
  addresses: ['fd12::1', '100.64.0.5'],
  mtu: 1_280,
  routes: ['fd12::/48', '100.64.0.0/16'],
  all: { outside: ['203.0.113.9'], dns: [] },
})

/** As iproute2 6.1 printed it, with our settings made. */
const said: Readonly<Record<string, string>> = {
  '-json address show':
    '[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},{},{"ifname":"eth0","addr_info":[{"family":"inet","local":"192.168.7.2","prefixlen":24},{"family":"inet6","local":"fe80::1","prefixlen":64}]},{"ifname":"adit0","addr_info":[{"family":"inet6","local":"fd12::1","prefixlen":128},{"family":"inet","local":"100.64.0.5","prefixlen":32}]}]',
  '-4 -json route show table main':
    '[{"dst":"default","gateway":"192.168.7.1","dev":"eth0","flags":[]},{"dst":"10.0.0.0/8","via":{"family":"inet6","host":"fe80::9"},"dev":"eth0"},{"type":"blackhole","dst":"172.16.0.0/12"},{"dst":"100.64.0.0/16","dev":"adit0","protocol":"145","scope":"link"},{"dst":"192.168.7.0/24","dev":"eth0","protocol":"kernel","scope":"link"}]',
  '-6 -json route show table main':
    '[{"dst":"fd12::1","dev":"adit0","metric":256},{"dst":"fd12::/48","dev":"adit0","metric":1024}]',
  '-4 -json route show table 14500':
    '[{"dst":"default","dev":"adit0","protocol":"145","scope":"link"},{"type":"unreachable","dst":"default","protocol":"145","metric":4294967295}]',
  '-6 -json route show table 14500':
    '[{"dst":"default","dev":"adit0","metric":1024},{"type":"unreachable","dst":"default","dev":"lo","protocol":"145","metric":4294967295}]',
  '-4 -json rule show':
    '[{"priority":0,"src":"all","table":"local"},{"priority":14500,"src":"all","dst":"203.0.113.9","goto":14509,"protocol":"145"},{"priority":14500,"src":"all","dst":"10.0.0.0","dstlen":8,"table":"main"},{"priority":14501,"src":"all","table":"main","suppress_prefixlen":7,"protocol":"145"},{"priority":14502,"src":"all","table":"14500","protocol":"145"},{"priority":14509,"src":"all","nop":null,"protocol":"145"},{"priority":32766,"src":"all","table":"main"}]',
  '-6 -json rule show': '[{"priority":14509,"src":"all","nop":null,"protocol":"145"}]',
}

test('what ip shows is recognised as the settings that made it', async (t) => {
  const view = await viewMachine(new Ip(await program(t, said)))
  const keys = presentKeys(view, 'adit0')
  const missing = settingsOf(plan, { inside: true, outside: true }).filter(({ key }) => key !== undefined && !keys.has(key))
  assert.deepEqual(
    missing.map(({ family, add }) => `${family} ${add}`),
    [
      '6 rule add priority 14501 lookup main suppress_prefixlength 6 protocol 145',
      '6 rule add priority 14502 lookup 14500 protocol 145',
    ],
  )
})

test('undoing takes what is ours and nobody else’s, the way into the tunnel first', async (t) => {
  const view = await viewMachine(new Ip(await program(t, said)))
  assert.deepEqual(undoLines(view, '4'), [
    'rule del priority 14502 protocol 145',
    'rule del to 203.0.113.9 priority 14500 protocol 145',
    'rule del priority 14501 protocol 145',
    'rule del priority 14509 protocol 145',
    'route del default dev adit0 table 14500',
    'route del unreachable default table 14500 metric 4294967295',
  ])
  assert.deepEqual(undoLines(view, '6'), [
    'rule del priority 14509 protocol 145',
    'route del default dev adit0 table 14500 metric 1024',
    'route del unreachable default table 14500 metric 4294967295',
  ])
})

test('a network that the machine is in is refused; one that it reaches by a gateway, or has no way to, is not', async (t) => {
  const view = await viewMachine(new Ip(await program(t, said)))
  assert.equal(overlapOf(plan, view), undefined)
  assert.equal(overlapOf({ ...plan, routes: ['10.1.0.0/16', '172.16.0.0/12', '192.168.8.0/24'] }, view), undefined)
  for (const [route, says] of [
    ['192.168.7.128/25', /192\.168\.7\.128\/25 goes into the tunnel, but this machine is in 192\.168\.7\.0\/24 by eth0/],
    ['192.168.0.0/16', /has 192\.168\.7\.2 on eth0/],
  ] as const) {
    const refusal = overlapOf({ ...plan, routes: [route] }, view)
    assert.equal(refusal?.code, 'network-overlap')
    assert.match(refusal!.message, says)
    assert.match(refusal!.mend, /avoid-networks/)
  }
})

test('a family or table that the kernel does not have is empty', async (t) => {
  const ip = await program(t, {}, 'echo "Error: ipv4: FIB table does not exist." >&2; exit 2')
  assert.deepEqual(await viewMachine(new Ip(ip)), { addresses: [], routes: [], rules: [] })
})

test('a batch says how far it came, which line was refused, and what to do about it', async (t) => {
  const refusal = (words: string): string => `cat >/dev/null; printf '%s\\nCommand failed -:2\\n' '${words}' >&2; exit 1`
  for (const [script, code, says, mends] of [
    [
      refusal('RTNETLINK answers: Operation not permitted'),
      'permission-missing',
      /ip two \(Operation not permitted\)/,
      /CAP_NET_ADMIN/,
    ],
    [refusal('RTNETLINK answers: File exists'), 'network-failed', /ip two: File exists/, /Another program/],
    [refusal('Error: Nexthop has invalid gateway.'), 'network-failed', /ip two: Nexthop has invalid gateway\./, /ip route/],
  ] as const) {
    const { done, error } = await new Ip(await program(t, {}, script)).batch('4', ['one', 'two', 'three'])
    assert.equal(done, 1)
    assert.equal(error?.code, code)
    assert.match(error!.message, says)
    assert.match(error!.mend, mends)
  }
  const busybox = await program(t, {}, "echo 'ip: unrecognized option: batch BusyBox v1.36' >&2; exit 1")
  assert.match((await new Ip(busybox).batch(undefined, ['one'])).error!.mend, /iproute2/)
  assert.deepEqual(await new Ip('/nonexistent/ip').batch(undefined, []), { done: 0 })
  await assert.rejects(new Ip('/nonexistent/ip').batch(undefined, ['one']), /The program ip is missing/)
})

test('a batch goes in by one process, line by line, with the family that it needs', async (t) => {
  const path = await program(t, {}, 'echo "$@" >"$0.got"; cat >>"$0.got"')
  assert.deepEqual(await new Ip(path).batch('6', ['rule add priority 1 nop', 'rule add priority 2 nop']), { done: 2 })
  assert.equal(await readFile(`${path}.got`, 'utf8'), '-6 -batch -\nrule add priority 1 nop\nrule add priority 2 nop\n')
})

/** A program that answers its words, and does `otherwise` for others. */
async function program(t: TestContext, answers: Readonly<Record<string, string>>, otherwise = 'exit 1'): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'adit-ip-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'ip')
  const cases = Object.entries(answers).map(([words, answer]) => `'${words}') printf '%s' '${answer}';;\n`)
  await writeFile(path, `#!/bin/sh\ncase "$*" in\n${cases.join('')}*) ${otherwise};;\nesac\n`)
  await chmod(path, 0o755)
  return path
}
