import assert from 'node:assert/strict'
import test from 'node:test'
import { parseProxy, proxyFinder } from '#agent/io/outer-proxy.ts'
import { isAditError } from '#shared/errors.ts'

test('a proxy is host, port and perhaps a user with his password', () => {
  assert.deepEqual(parseProxy('http://proxy.example:3128', 'x'), { host: 'proxy.example', port: 3128 })
  assert.deepEqual(parseProxy('http://[2001:db8::1]:8080/', 'x'), { host: '2001:db8::1', port: 8080 })
  assert.deepEqual(parseProxy('http://proxy.example', 'x'), { host: 'proxy.example', port: 80 })
  assert.deepEqual(parseProxy('http://ann:p%40ss%3aw@p:1', 'x'), { host: 'p', port: 1, credentials: 'ann:p@ss:w' })
})

test('A-88 what cannot be used is refused without its password', () => {
  for (const text of [
    'https://u:s3cret@p:1',
    'socks5://u:s3cret@p:1',
    'http://u:s3cret@p:99999',
    'u:s3cret@p',
    'http://u:s3cret@p:1/path',
    '',
  ])
    assert.throws(
      () => parseProxy(text, 'The proxy'),
      (error) => isAditError(error) && error.code === 'config-invalid' && !JSON.stringify(error).includes('s3cret'),
      text,
    )
})

test('a configured proxy serves every place; off serves none; else the environment, as curl reads it', () => {
  const env = {
    HTTPS_PROXY: 'http://corp:3128',
    NO_PROXY: 'broker.lan, .example.org,10.0.0.0/8,special.net:8443,[2001:db8::]/32',
  }
  assert.equal(proxyFinder('http://mine:1', env)('127.0.0.1', 443)?.host, 'mine')
  assert.equal(proxyFinder('off', env)('broker.example.com', 443), undefined)
  assert.equal(proxyFinder(undefined, {})('broker.example.com', 443), undefined)
  assert.equal(proxyFinder(undefined, { https_proxy: 'corp:8080' })('a.b', 443)?.port, 8080)
  const find = proxyFinder(undefined, env)
  const direct: [host: string, port: number][] = [
    ['localhost', 443],
    ['127.0.0.9', 443],
    ['::1', 443],
    ['Broker.LAN', 443],
    ['x.broker.lan', 443],
    ['example.org', 443],
    ['a.example.org', 443],
    ['10.1.2.3', 443],
    ['special.net', 8443],
  ]
  for (const [host, port] of direct) assert.equal(find(host, port), undefined, host)
  const led: [host: string, port: number][] = [
    ['broker.example.com', 443],
    ['notbroker.lan', 443],
    ['11.0.0.1', 443],
    ['special.net', 443],
  ]
  for (const [host, port] of led) assert.equal(find(host, port)?.host, 'corp', host)
  assert.equal(proxyFinder(undefined, { ...env, NO_PROXY: '*' })('broker.example.com', 443), undefined)
})
