import assert from 'node:assert/strict'
import test from 'node:test'
import { readSocksGreeting, readSocksRequest, SocksReply, socksMethod, socksReply, socksReplyOf } from '#agent/operator/socks.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

test('RFC 1928 §3: greetings, whole and cut', () => {
  assert.deepEqual(readSocksGreeting(bytes('05 01 00')), { length: 3, isOpen: true })
  assert.deepEqual(readSocksGreeting(bytes('05 03 02 01 00 05 01')), { length: 5, isOpen: true })
  assert.deepEqual(readSocksGreeting(bytes('05 02 01 02')), { length: 4, isOpen: false })
  assert.deepEqual(readSocksGreeting(bytes('05 00')), { length: 2, isOpen: false })
  for (const cut of ['', '05', '05 02', '05 02 00']) assert.equal(readSocksGreeting(bytes(cut)), undefined, cut)
  for (const other of ['04 01 00 50 7f 00 00 01 00', '47 45 54', '16 03 01'])
    assert.throws(() => readSocksGreeting(bytes(other)), { code: 'socks-version' }, other)
  assert.deepEqual(socksMethod({ length: 3, isOpen: true }), bytes('05 00'))
  assert.deepEqual(socksMethod({ length: 3, isOpen: false }), bytes('05 ff'))
})

test('RFC 1928 §4: requests by name and by address, cut at every length', () => {
  const rows: [hex: string, host: string, port: number, refusal?: number][] = [
    ['05 01 00 01 7f 00 00 01 00 50', '127.0.0.1', 80],
    ['05 01 00 03 04 70 75 6d 70 1f 90', 'pump', 8080],
    ['05 01 00 04 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 16', 'fd00::1', 22],
    ['05 02 00 01 7f 00 00 01 00 50', '127.0.0.1', 80, SocksReply.CommandUnknown],
    ['05 03 00 03 01 61 00 50', 'a', 80, SocksReply.CommandUnknown],
    ['05 01 00 03 00 00 50', '', 80],
  ]
  for (const [hex, host, port, refusal] of rows) {
    const request = bytes(hex)
    const found = { length: request.length, host, port, refusal }
    assert.deepEqual(readSocksRequest(request), found, hex)
    assert.deepEqual(readSocksRequest(Uint8Array.of(...request, 1, 2, 3)), found, 'what follows is the stream')
    for (let cut = 0; cut < request.length; cut++)
      assert.equal(readSocksRequest(request.subarray(0, cut)), undefined, `${hex} ${cut}`)
  }
  const longest = Uint8Array.of(5, 1, 0, 3, 255, ...new Array(255).fill(0x61), 0, 80)
  assert.equal(readSocksRequest(longest)?.length, 262)
  assert.equal(readSocksRequest(bytes('05 01 00 02 00 00'))?.refusal, SocksReply.AddressTypeUnknown)
  assert.throws(() => readSocksRequest(bytes('04 01 00 01 7f')), { code: 'socks-version' })
})

test('RFC 1928 §6: replies say what is known of a failure', () => {
  assert.deepEqual(socksReply(SocksReply.Refused), bytes('05 05 00 01 00 00 00 00 00 00'))
  assert.deepEqual(
    (['forbidden', 'service-refused', 'device-offline', 'tunnel-unreachable', 'internal'] as const).map(socksReplyOf),
    [2, 5, 4, 3, 1],
  )
})
