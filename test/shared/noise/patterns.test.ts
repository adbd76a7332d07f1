import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handshakePattern, isOneWay, patternNames, pskCount } from '#shared/noise/patterns.ts'

const rows = (base: string, ...modifiers: string[]): string[] =>
  handshakePattern(base, modifiers).messages.map(({ arrow, tokens }) => `${arrow} ${tokens.join(', ')}`)

test('the table has the 3 one-way, 12 fundamental and 23 deferred patterns of revision 34', () => {
  assert.equal(patternNames.length, 38)
  assert.deepEqual(
    patternNames.filter((name) => isOneWay(handshakePattern(name, []))),
    ['N', 'K', 'X'],
  )
})

/** Noise rev 34 §7.3: what makes a pattern valid. */
for (const name of patternNames) {
  test(`${name} is valid: no key sent twice, none used before it is known, no secret skipped`, () => {
    const { preMessages, messages } = handshakePattern(name, [])
    const known = new Set<string>()
    const agreed = new Set<string>()
    for (const { arrow, tokens } of preMessages) for (const token of tokens) known.add(arrow + token)
    for (const [index, { arrow, tokens }] of messages.entries()) {
      assert.equal(arrow, index % 2 === 0 || isOneWay(handshakePattern(name, [])) ? '->' : '<-')
      for (const token of tokens) {
        if (token === 'e' || token === 's') {
          assert.ok(!known.has(arrow + token), `${token} twice`)
          known.add(arrow + token)
        } else {
          assert.ok(known.has(`->${token[0]}`) && known.has(`<-${token[1]}`), `${token} before its keys`)
          assert.ok(!agreed.has(token), `${token} twice`)
          agreed.add(token)
        }
      }
      // A sender's static secret may encrypt only behind its ephemeral: se needs ee, ss needs es.
      if (arrow === '->' && agreed.has('ss')) assert.ok(agreed.has('es'))
      if (arrow === '->' && agreed.has('se')) assert.ok(agreed.has('ee'))
      if (arrow === '<-' && agreed.has('ss')) assert.ok(agreed.has('se'))
      if (arrow === '<-' && agreed.has('es')) assert.ok(agreed.has('ee'))
    }
  })
}

test('psk0 opens the first message, pskN closes the Nth', () => {
  assert.deepEqual(rows('IK', 'psk2'), ['-> e, es, s, ss', '<- e, ee, se, psk'])
  assert.deepEqual(rows('NN', 'psk0'), ['-> psk, e', '<- e, ee'])
  assert.deepEqual(rows('NN', 'psk0', 'psk2'), ['-> psk, e', '<- e, ee, psk'])
  assert.deepEqual(rows('XX', 'psk3'), ['-> e', '<- e, ee, s, es', '-> s, se, psk'])
  assert.equal(pskCount(handshakePattern('XX', ['psk0', 'psk1', 'psk3'])), 3)
  assert.equal(handshakePattern('XX', ['psk0', 'psk3']).name, 'XXpsk0+psk3')
})

test('fallback makes the first message a pre-message', () => {
  const pattern = handshakePattern('XX', ['fallback'])
  assert.deepEqual(pattern.preMessages, [{ arrow: '->', tokens: ['e'] }])
  assert.deepEqual(rows('XX', 'fallback'), ['<- e, ee, s, es', '-> s, se'])
  assert.deepEqual(rows('XX', 'fallback', 'psk1'), ['<- e, ee, s, es, psk', '-> s, se'])
})

test('what revision 34 does not have is refused by name', () => {
  for (const [base, ...modifiers] of [
    ['ZZ'],
    ['toString'],
    ['NN', 'hfs'],
    ['NN', 'psk3'],
    ['NN', 'psk1', 'psk1'],
    ['IK', 'fallback'],
    ['N', 'fallback'],
  ])
    assert.throws(() => handshakePattern(base as string, modifiers), { name: 'NoiseError', code: 'name' }, `${base} ${modifiers}`)
})
