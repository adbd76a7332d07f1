import assert from 'node:assert/strict'
import test from 'node:test'
import { sourceFiles } from '#test/house/source-files.ts'

/** Folders and files whose job it is to meet the machine. */
const shells = [/^shared\/platform\//, /\/io\//, /\/main\.ts$/, /^firmware-sim\/main\.ts$/]

const forbidden: readonly [pattern: RegExp, because: string][] = [
  [/\bDate\.now\s*\(|\bnew Date\s*\(\s*\)/, 'a core is told the time by its Clock'],
  [/\bperformance\.now\s*\(|\bprocess\.hrtime\b/, 'a core is told the time by its Clock'],
  [/\bMath\.random\s*\(/, 'randomness comes through the crypto port'],
  [
    /(?<![.\w#])set(?:Timeout|Interval)\s*\(/,
    'timers belong to shared/platform/timers.ts, so that virtual time can replace them',
  ],
]

test('no clock and no dice outside shared/platform, io folders and main.ts', () => {
  const found = sourceFiles('shared', 'agent', 'broker', 'firmware-sim')
    .filter(({ path }) => !shells.some((shell) => shell.test(path)))
    .flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, at) => {
        const code = line.replace(/\/\/.*$|^\s*\*.*$/, '')
        return forbidden.filter(([pattern]) => pattern.test(code)).map(([, because]) => `${path}:${at + 1}: ${because}`)
      }),
    )
  assert.deepEqual(found, [])
})

test('properties are tried from one seed', () => {
  const unseeded = sourceFiles('test').filter(({ text }) => /from 'fast-check'$/m.test(text))
  assert.deepEqual(
    unseeded.map(({ path }) => path),
    ['test/lab/properties.ts'],
  )
})
