import { NoiseError } from './noise-error.ts'

/** Tokens of a message pattern (Noise rev 34 §7.1). */
export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk'

/** `->`: Alice writes. Alice is the initiator of every pattern below; in a fallback pattern Bob writes first. */
export type Arrow = '->' | '<-'

export interface MessagePattern {
  readonly arrow: Arrow
  readonly tokens: readonly Token[]
}

export interface HandshakePattern {
  /** With modifiers: "IKpsk2". */
  readonly name: string
  /** Public keys that each side knows beforehand, hashed in this order: Alice's first. */
  readonly preMessages: readonly MessagePattern[]
  readonly messages: readonly MessagePattern[]
}

/**
 * The pattern table, as the specification prints it; each entry is `pre-messages ... messages`, rows parted by `|`.
 * §7.4 one-way, §7.5 fundamental, §18.1 deferred.
 */
const table: Readonly<Record<string, string>> = {
  N: '<- s ... -> e, es',
  K: '-> s | <- s ... -> e, es, ss',
  X: '<- s ... -> e, es, s, ss',

  NN: '... -> e | <- e, ee',
  NK: '<- s ... -> e, es | <- e, ee',
  NX: '... -> e | <- e, ee, s, es',
  KN: '-> s ... -> e | <- e, ee, se',
  KK: '-> s | <- s ... -> e, es, ss | <- e, ee, se',
  KX: '-> s ... -> e | <- e, ee, se, s, es',
  XN: '... -> e | <- e, ee | -> s, se',
  XK: '<- s ... -> e, es | <- e, ee | -> s, se',
  XX: '... -> e | <- e, ee, s, es | -> s, se',
  IN: '... -> e, s | <- e, ee, se',
  IK: '<- s ... -> e, es, s, ss | <- e, ee, se',
  IX: '... -> e, s | <- e, ee, se, s, es',

  NK1: '<- s ... -> e | <- e, ee, es',
  NX1: '... -> e | <- e, ee, s | -> es',
  X1N: '... -> e | <- e, ee | -> s | <- se',
  X1K: '<- s ... -> e, es | <- e, ee | -> s | <- se',
  XK1: '<- s ... -> e | <- e, ee, es | -> s, se',
  X1K1: '<- s ... -> e | <- e, ee, es | -> s | <- se',
  X1X: '... -> e | <- e, ee, s, es | -> s | <- se',
  XX1: '... -> e | <- e, ee, s | -> es, s, se',
  X1X1: '... -> e | <- e, ee, s | -> es, s | <- se',
  K1N: '-> s ... -> e | <- e, ee | -> se',
  K1K: '-> s | <- s ... -> e, es | <- e, ee | -> se',
  KK1: '-> s | <- s ... -> e | <- e, ee, se, es',
  K1K1: '-> s | <- s ... -> e | <- e, ee, es | -> se',
  K1X: '-> s ... -> e | <- e, ee, s, es | -> se',
  KX1: '-> s ... -> e | <- e, ee, se, s | -> es',
  K1X1: '-> s ... -> e | <- e, ee, s | -> se, es',
  I1N: '... -> e, s | <- e, ee | -> se',
  I1K: '<- s ... -> e, es, s | <- e, ee | -> se',
  IK1: '<- s ... -> e, s | <- e, ee, se, es',
  I1K1: '<- s ... -> e, s | <- e, ee, es | -> se',
  I1X: '... -> e, s | <- e, ee, s, es | -> se',
  IX1: '... -> e, s | <- e, ee, se, s | -> es',
  I1X1: '... -> e, s | <- e, ee, s | -> se, es',
}

/** Every pattern of the table, without modifiers. */
export const patternNames: readonly string[] = Object.keys(table)

/** The pattern of a name and its modifiers, left to right (§8). Throws NoiseError `name`. */
export function handshakePattern(base: string, modifiers: readonly string[]): HandshakePattern {
  const row = Object.hasOwn(table, base) ? table[base] : undefined
  if (row === undefined) throw new NoiseError('name', `Noise has no pattern ${base}`)
  const [before = '', after = ''] = row.split('...')
  let pattern: HandshakePattern = { name: base, preMessages: parseRows(before), messages: parseRows(after) }
  for (const modifier of modifiers) pattern = modified(pattern, modifier)
  return { ...pattern, name: base + modifiers.join('+') }
}

/** §7.4: the responder never writes, and only the first cipher of Split is used. */
export const isOneWay = (pattern: HandshakePattern): boolean => pattern.messages.every((message) => message.arrow === '->')

export const pskCount = (pattern: HandshakePattern): number =>
  pattern.messages.reduce((count, message) => count + message.tokens.filter((token) => token === 'psk').length, 0)

function parseRows(text: string): MessagePattern[] {
  return text
    .split('|')
    .map((row) => row.trim())
    .filter((row) => row !== '')
    .map((row) => ({ arrow: row.slice(0, 2) as Arrow, tokens: row.slice(2).trim().split(', ') as Token[] }))
}

function modified(pattern: HandshakePattern, modifier: string): HandshakePattern {
  if (modifier === 'fallback') return fallback(pattern)
  const place = /^psk(0|[1-9])$/.exec(modifier)?.[1]
  if (place === undefined) throw new NoiseError('name', `${modifier} is no modifier of Noise revision 34`)
  return withPsk(pattern, Number(place))
}

/** §9.4: psk0 stands at the beginning of the first message, pskN at the end of the Nth. */
function withPsk(pattern: HandshakePattern, place: number): HandshakePattern {
  const index = Math.max(0, place - 1)
  const message = pattern.messages[index]
  if (message === undefined) throw new NoiseError('name', `${pattern.name} has no message ${place} for psk${place}`)
  if (place === 0 ? message.tokens[0] === 'psk' : message.tokens.at(-1) === 'psk')
    throw new NoiseError('name', `psk${place} appears twice`)
  const tokens: readonly Token[] = place === 0 ? ['psk', ...message.tokens] : [...message.tokens, 'psk']
  return { ...pattern, messages: pattern.messages.with(index, { ...message, tokens }) }
}

/** §10.2: Alice's first message becomes a pre-message, and Bob writes first. */
function fallback(pattern: HandshakePattern): HandshakePattern {
  const [first, ...rest] = pattern.messages
  const canBePreMessage = first?.tokens.every((token) => token === 'e' || token === 's') ?? false
  if (first === undefined || !canBePreMessage || rest.length === 0)
    throw new NoiseError('name', `the first message of ${pattern.name} cannot be a pre-message, so it has no fallback`)
  const own = pattern.preMessages.filter((message) => message.arrow === '->')
  const others = pattern.preMessages.filter((message) => message.arrow === '<-')
  return { ...pattern, preMessages: [...own, first, ...others], messages: rest }
}
