import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { labelOf } from '#agent/station/labels/label.ts'
import { pairPage, pairScript, pairStyle } from '#broker/api/pair-page.ts'
import { unit } from '#test/agent/station/labels/labelled-unit.ts'
import { ApiFixture } from '#test/broker/api/api-fixture.ts'

const key = Buffer.from(unit.spkiSha256, 'hex').toString('base64url')
const sound = `n=${unit.name}&s=${unit.serial}&k=${key}`

const hostile = [
  `n=<script>alert(1)</script>&s=${unit.serial}&k=${key}`,
  `n=%3Cimg%20src=x%20onerror=alert(1)%3E&s=${unit.serial}&k=${key}`,
  `n=pump-7&s=%22%3E%3Csvg/onload=alert(1)%3E&k=${key}`,
  `n=pump-7&s=1&k=${'%3Cb%3E'.repeat(6)}x`,
  `n=pump-7&n=pump-8&s=1&k=${key}`,
  `n=PUMP-7&s=1&k=${key}`,
  `n=pump-7%00&s=1&k=${key}`,
  `n=p%E2%80%AEump-7&s=1&k=${key}`,
  `n=${'p'.repeat(64)}&s=1&k=${key}`,
  `n=pump-7&s=${'1'.repeat(65)}&k=${key}`,
  `n=pump-7&s=1&k=${key}A`,
  `n=pump-7&s=1&k=${key.slice(1)}`,
  'n=pump-7&s=1',
  'n=%&s=%zz&k=%%%',
  `${sound}&x=${'x'.repeat(2_000)}`,
  '__proto__=1',
]

test('whoever scans a label meets a page that knows nothing of the registry, under a policy of its own script and style alone', async (t) => {
  const fixture = await ApiFixture.open(t)
  await fixture.enrol('device', { name: 'pump-7' })
  const { status, headers, body } = await fixture.ask('/pair')
  assert.deepEqual([status, headers['content-type'], headers['cache-control']], [200, 'text/html; charset=utf-8', 'no-store'])
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  assert.equal(
    headers['content-security-policy'],
    `default-src 'none'; script-src ${hash(pairScript)}; style-src ${hash(pairStyle)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  )
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['referrer-policy'], 'no-referrer')
  const page = body.toString()
  assert.equal(page.match(/<script>([\s\S]*?)<\/script>/)?.[1], pairScript)
  assert.equal(page.match(/<style>([\s\S]*?)<\/style>/)?.[1], pairStyle)
  assert.doesNotMatch(page, /(?:src|href|action)=|https?:/i)
  const told = (name: string) => fixture.ask(`/pair?n=${name}&s=1&k=${key}`).then((answer) => answer.body.toString())
  assert.equal(
    (await told('pump-7')).replaceAll('pump-7', 'pump-8'),
    await told('pump-8'),
    'a device that is there and one that is not',
  )
})

test('a browser without scripts may say as a query what the label says: it is shown, with the commands for that unit', async (t) => {
  const fixture = await ApiFixture.open(t)
  const { status, body } = await fixture.ask(`/pair?${sound}`)
  const page = body.toString()
  assert.equal(status, 200)
  for (const text of [unit.serial, unit.spkiSha256, '0001 0203 0405 0607 0809 0a0b 0c0d 0e0f', 'adit devices'])
    assert.ok(page.includes(text), text)
  for (const command of ['adit ssh', 'adit why', 'adit-broker device show'])
    assert.ok(page.includes(`${command} <span class="name">${unit.name}</span>`), command)
  assert.doesNotMatch(page, /<script/)
})

test('what is no label is refused with one page that repeats nothing of it', async (t) => {
  const fixture = await ApiFixture.open(t)
  for (const query of hostile) {
    const { status, headers, body } = await fixture.ask(encodeURI(`/pair?${query}`).replaceAll('%25', '%'))
    assert.deepEqual([status, headers['content-type']], [400, 'text/html; charset=utf-8'], query)
    assert.equal(body.toString(), pairPage({ kind: 'refused' }), query)
  }
})

/** What the page's script makes of a fragment, in a browser of one object; whatever reads markup is missing, and fails the test. */
function scanned(hash: string): Record<string, string | boolean> {
  const shown: Record<string, string | boolean> = {}
  const element = (id: string) => ({
    set textContent(text: string) {
      shown[id] = text
    },
    set hidden(is: boolean) {
      shown[`${id} hidden`] = is
    },
    set innerHTML(_markup: string) {
      assert.fail('markup was made')
    },
  })
  const document = { getElementById: element, getElementsByClassName: (name: string) => [element(`.${name}`)] }
  runInContext(pairScript, createContext({ document, location: { hash }, URLSearchParams, atob }))
  return shown
}

test('the script reads what the station has written, from the fragment that stays in the phone', () => {
  const { hash } = new URL(labelOf(unit, 'https://broker.example.com:8443/pair').url)
  assert.deepEqual(scanned(hash), {
    name: unit.name,
    '.name': unit.name,
    serial: unit.serial,
    short: '0001 0203 0405 0607 0809 0a0b 0c0d 0e0f',
    whole: unit.spkiSha256,
  })
})

test('the script shows nothing of a fragment that is no label', () => {
  const said = (hash: string) => ({ 'label hidden': true, 'word hidden': false, word: scanned(hash).word as string })
  for (const fields of hostile.filter((query) => !query.startsWith(sound))) {
    const shown = scanned(`#${fields}`)
    assert.deepEqual(shown, said(`#${fields}`), fields)
    assert.match(String(shown.word), /no label of ours/, fields)
  }
  assert.match(String(scanned('').word), /No label was scanned/)
})
