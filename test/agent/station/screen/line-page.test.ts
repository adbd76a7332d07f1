import assert from 'node:assert/strict'
import { request } from 'node:http'
import test, { type TestContext } from 'node:test'
import { PageServer } from '#agent/station/screen/io/page-server.ts'
import { LineWatch } from '#agent/station/screen/line-watch.ts'
import { PageAccess } from '#agent/station/screen/page/page-access.ts'
import { parsePagePlace } from '#agent/station/screen/page/page-place.ts'
import { nativeSuite as suite } from '#shared/crypto/native.ts'
import { WatchedLine } from './watched-line.ts'

async function open(t: TestContext) {
  const line = new WatchedLine()
  const watch = await LineWatch.open(line, line.clock, line.timers)
  const urls: string[] = []
  const page = await PageServer.open({ watch, suite, host: '127.0.0.1', port: 0, onUrl: (url) => urls.push(url) })
  t.after(async () => {
    await page.close()
    watch.close()
  })
  return { line, page, urls }
}

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

function get(url: string, cookie = '', method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: { cookie } }, async (incoming) => {
      let text = ''
      for await (const chunk of incoming) text += chunk
      resolve({ status: incoming.statusCode!, headers: incoming.headers, text })
    })
    outgoing.once('error', reject)
    outgoing.end()
  })
}

/** The cookie of a visit by the page's present address. */
async function visit(page: PageServer): Promise<string> {
  const { status, headers } = await get(page.url)
  assert.equal(status, 303)
  assert.match(String(headers['set-cookie']), /; HttpOnly; SameSite=Lax; Path=\/$/)
  return String(headers['set-cookie']).split(';')[0]!
}

test('the address that is shown opens the page once; the next one is shown then', async (t) => {
  const { page, urls } = await open(t)
  const first = page.url
  const cookie = await visit(page)
  assert.deepEqual(urls, [page.url])
  assert.notEqual(page.url, first)
  assert.equal((await get(first)).status, 403)
  const { status, text } = await get(new URL('/', first).href, cookie)
  assert.equal(status, 200)
  assert.match(text, /<script src="\/line\.js" defer>/)
  assert.equal((await get(page.url.slice(0, -1))).status, 403)
})

test('without the visit nothing is to be had, and with it there is nothing to change', async (t) => {
  const { page } = await open(t)
  const place = new URL('/', page.url).href
  for (const path of ['', 'line.js', 'events', 'open/', 'other']) assert.equal((await get(place + path)).status, 403, path)
  const cookie = await visit(page)
  assert.equal((await get(`${place}events`, `${cookie}x`)).status, 403)
  assert.equal((await get(`${place}other`, cookie)).status, 404)
  assert.equal((await get(`${place}__proto__`, cookie)).status, 404)
  for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await get(place, cookie, method)).status, 405)
})

test('every answer forbids all but our own script, style and stream', async (t) => {
  const { page } = await open(t)
  const place = new URL('/', page.url).href
  const cookie = await visit(page)
  for (const [path, type] of [
    ['', 'text/html'],
    ['line.js', 'text/javascript'],
    ['line.css', 'text/css'],
    ['other', 'text/plain'],
  ] as const) {
    const { headers, text } = await get(place + path, cookie)
    const policy = String(headers['content-security-policy'])
    assert.match(
      policy,
      /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    )
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['cache-control'], 'no-store')
    assert.ok(String(headers['content-type']).startsWith(type))
    if (path === '') assert.doesNotMatch(text, /<script>|<style|\son\w+=|style=/)
  }
})

test('the stream tells the view at once, and each change of it', async (t) => {
  const { line, page } = await open(t)
  const cookie = await visit(page)
  const views: { verdict: unknown; inHand: { serial: string }[] }[] = []
  let heard = (): void => {}
  const outgoing = request(new URL('/events', page.url), { headers: { cookie } }, (incoming) => {
    assert.equal(incoming.headers['content-type'], 'text/event-stream')
    incoming.setEncoding('utf8').on('data', (text: string) => {
      for (const [, data] of text.matchAll(/^event: view\ndata: (.*)\n\n/gm)) views.push(JSON.parse(data!))
      heard()
    })
  })
  t.after(() => outgoing.destroy())
  outgoing.on('error', () => {})
  const next = (): Promise<void> => new Promise((resolve) => (heard = resolve))
  const first = next()
  outgoing.end()
  await first
  assert.equal(views[0]!.verdict, null)
  line.tell('<img src=x onerror=alert(1)>', 'opened')
  const second = next()
  await line.pass(250)
  await second
  assert.equal(views[1]!.inHand[0]!.serial, '<img src=x onerror=alert(1)>')
})

test('a token is good once, visitors are many but not without end', () => {
  const access = new PageAccess(suite)
  const { token } = access
  const first = access.redeem(token)!
  assert.equal(access.redeem(token), undefined)
  assert.ok(access.admits(first) && !access.admits('') && !access.admits(token))
  for (let n = 0; n < 16; n++) access.redeem(access.token)
  assert.equal(access.admits(first), false)
})

test('places of a page: this machine alone unless an address is given', () => {
  assert.deepEqual(parsePagePlace('8090'), { host: '127.0.0.1', port: 8090 })
  assert.deepEqual(parsePagePlace('192.168.1.10:0'), { host: '192.168.1.10', port: 0 })
  assert.deepEqual(parsePagePlace('[fd12::1]:80'), { host: 'fd12::1', port: 80 })
  for (const text of ['', 'x', ':', '65536', 'a b:1', '-1']) assert.throws(() => parsePagePlace(text), { code: 'usage' })
})
