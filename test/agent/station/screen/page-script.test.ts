import assert from 'node:assert/strict'
import test from 'node:test'
import { createContext, runInContext } from 'node:vm'
import { afterEvent, beginLine, type LineState, viewOf } from '#agent/station/screen/line-state.ts'
import { pageDocument, pageScript } from '#agent/station/screen/page/page-document.ts'
import { count, eventAt, noon } from './watched-line.ts'

/** An element that knows what the script may use; whatever else it reaches for is missing, and fails the test. */
class FakeElement {
  textContent = ''
  className = ''
  hidden = false
  value = 0
  children: FakeElement[] = []
  readonly #listeners = new Map<string, () => void>()
  set innerHTML(_markup: string) {
    assert.fail('markup was made')
  }
  replaceChildren(...children: FakeElement[]): void {
    this.children = children
  }
  addEventListener(name: string, listener: () => void): void {
    this.#listeners.set(name, listener)
  }
  tap(): void {
    this.#listeners.get('click')!()
  }
}

/** The page in a browser of three objects. */
function browser() {
  const elements = new Map([...pageDocument.matchAll(/ id="([a-z-]+)"/g)].map(([, id]) => [id!, new FakeElement()]))
  const handlers = new Map<string, (event: { data: string }) => void>()
  const tones: number[] = []
  class EventSource {
    constructor(url: string) {
      assert.equal(url, '/events')
    }
    addEventListener(name: string, handler: (event: { data: string }) => void): void {
      handlers.set(name, handler)
    }
  }
  class AudioContext {
    currentTime = 0
    destination = {}
    resume() {}
    createOscillator() {
      const tone = { type: '', frequency: { value: 0 }, connect() {}, start: () => tones.push(tone.frequency.value), stop() {} }
      return tone
    }
    createGain() {
      return { gain: { value: 0 }, connect() {} }
    }
  }
  const document = { getElementById: (id: string) => elements.get(id), createElement: () => new FakeElement() }
  runInContext(pageScript, createContext({ document, EventSource, AudioContext, JSON, Math }))
  return {
    at: (id: string): FakeElement => elements.get(id)!,
    tones,
    show: (state: LineState) => handlers.get('view')!({ data: JSON.stringify(viewOf(state, noon + 60_000)) }),
    lose: () => handlers.get('error')!({ data: '' }),
  }
}

test('PASS is green, FAIL is red, and what stands below is text alone, whatever it looks like', () => {
  const page = browser()
  const hostile = '<img src=x onerror=alert(1)>'
  let state = afterEvent(beginLine(count, noon), eventAt(0, hostile, 'failed', { code: 'disk-full', detail: hostile, mend: 'x' }))
  page.show(state)
  assert.deepEqual([page.at('verdict').className, page.at('verdict-word').textContent], ['fail', 'FAIL'])
  assert.ok(page.at('failures').children[0]!.textContent.includes(hostile))
  state = afterEvent(state, eventAt(1, 'a', 'delivered'))
  page.show(state)
  assert.deepEqual([page.at('verdict').className, page.at('verdict-unit').textContent], ['pass', 'a  pi-a'])
  assert.equal(page.at('counts').textContent, '0 of 100 delivered, 0 failed, 0 scrapped')
  assert.equal(page.at('rate').textContent, '60 units an hour, done in 100 min')
})

test('there is sound after the first tap, one at each end of a unit, another for pass than for fail', () => {
  const page = browser()
  let state = beginLine(count, noon)
  const next = (step: 'delivered' | 'failed'): number[] => {
    state = afterEvent(state, eventAt(0, 'a', step))
    page.tones.length = 0
    page.show(state)
    return [...page.tones]
  }
  page.show(state)
  assert.deepEqual(next('delivered'), [])
  page.at('sound').tap()
  const pass = next('delivered')
  const fail = next('failed')
  assert.ok(pass.length > 0 && fail.length > 0 && pass[0] !== fail[0])
  page.tones.length = 0
  page.show(state)
  assert.deepEqual(page.tones, [], 'the same verdict sounds once')
})

test('a page that is opened in the middle is silent about what was', () => {
  const page = browser()
  page.at('sound').tap()
  page.tones.length = 0
  page.show(afterEvent(beginLine(count, noon), eventAt(0, 'a', 'failed')))
  assert.deepEqual(page.tones, [])
})

test('a station that is silent is said to be', () => {
  const page = browser()
  page.show(beginLine(count, noon))
  page.lose()
  assert.equal(page.at('lost').hidden, false)
  page.show(beginLine(count, noon))
  assert.equal(page.at('lost').hidden, true)
})

test('nothing in the script reads markup or makes code', () => {
  assert.doesNotMatch(pageScript, /innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(|setAttribute/)
})
