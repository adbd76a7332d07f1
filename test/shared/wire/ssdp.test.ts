import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeSearchAnswer, encodeSearch, gatewayDevice } from '#shared/wire/ssdp.ts'
import fc from '#test/lab/properties.ts'

const answer = (location: string, status = 'HTTP/1.1 200 OK'): Uint8Array =>
  Buffer.from(`${status}\r\nCACHE-CONTROL: max-age=120\r\nST: ${gatewayDevice}\r\nLocation: ${location}\r\nEXT:\r\n\r\n`)

test('a search says what is sought and how long is waited', () => {
  const text = Buffer.from(encodeSearch(gatewayDevice, 2)).toString()
  assert.match(text, /^M-SEARCH \* HTTP\/1\.1\r\n/)
  assert.match(text, /\r\nMAN: "ssdp:discover"\r\nMX: 2\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n$/)
})

test('an answer names the place of a description, and nothing else is one', () => {
  assert.equal(decodeSearchAnswer(answer('http://192.168.7.1:5000/rootDesc.xml'))?.href, 'http://192.168.7.1:5000/rootDesc.xml')
  for (const place of ['https://192.168.7.1/', 'file:///etc/passwd', 'http://a:b@192.168.7.1/', 'nowhere', ''])
    assert.equal(decodeSearchAnswer(answer(place)), undefined, place)
  assert.equal(decodeSearchAnswer(answer('http://192.168.7.1/', 'HTTP/1.1 404 Not Found')), undefined)
  assert.equal(decodeSearchAnswer(answer('http://192.168.7.1/', 'NOTIFY * HTTP/1.1')), undefined)
  assert.equal(decodeSearchAnswer(new Uint8Array(2_049)), undefined)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => decodeSearchAnswer(bytes) === undefined),
    { seed: 1 },
  )
})
