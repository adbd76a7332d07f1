import assert from 'node:assert/strict'
import test from 'node:test'
import { checkName, checkNamePattern, escapeText, expandPattern, hasCounter } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'

const isInvalid = (error: unknown): boolean => {
  assert.ok(error instanceof AditError && error.code === 'name-invalid')
  assert.match(error.message, /^[\x20-\x7e…]*$/, 'nothing reaches the terminal unescaped')
  assert.ok(error.message.length < 1000)
  return true
}

test('names are labels of letters, digits and inner hyphens, in lower case', () => {
  for (const name of ['a', '7', 'pi-kitchen', 'x'.repeat(63), 'a--b']) assert.equal(checkName(name), name)
  assert.equal(checkName('Pi-KITCHEN'), 'pi-kitchen')
})

test('bad input: slashes, escape codes, controls, look-alikes and lengths are refused, and shown escaped', () => {
  const bad = [
    '',
    '-',
    '-a',
    'a-',
    'a/b',
    '../a',
    'a.b',
    'a b',
    ' a',
    'a\n',
    '\u001b[31mred',
    'a\0',
    'x'.repeat(64),
    'ü',
    '\u212A',
    'a\u202Eb',
    '#',
    '+',
    '$sys',
    'x'.repeat(100_000),
  ]
  for (const text of bad) assert.throws(() => checkName(text), isInvalid, JSON.stringify(text.slice(0, 20)))
})

test('patterns have one counter at most and expand to names', () => {
  assert.equal(expandPattern(checkNamePattern('pi-{n}'), 12), 'pi-12')
  assert.equal(expandPattern(checkNamePattern('Pi-###'), 7), 'pi-007')
  assert.equal(expandPattern(checkNamePattern('pi-###'), 12_345), 'pi-12345')
  assert.equal(expandPattern(checkNamePattern('{n}'), 1), '1')
  assert.equal(expandPattern(checkNamePattern('kitchen'), 3), 'kitchen')
  assert.equal(hasCounter('pi-{n}'), true)
  assert.equal(hasCounter('pi'), false)
  const bad = ['pi-{n}-{n}', 'pi-#-#', 'pi-{m}', '{n}-', '-{n}', `${'x'.repeat(60)}{n}`, 'a/{n}', '']
  for (const text of bad) assert.throws(() => checkNamePattern(text), isInvalid, text)
})

test('a stranger’s text is shown without its powers', () => {
  assert.equal(escapeText('a\u001b[2Jb\\'), 'a\\u{1b}[2Jb\\u{5c}')
  assert.equal(escapeText('x'.repeat(65)), `${'x'.repeat(64)}… (65 characters)`)
})
