import assert from 'node:assert/strict'
import test from 'node:test'
import { type SourceFile, sourceFiles } from '#test/house/source-files.ts'

/** What a credential in source looks like. A hit that is none needs another wording, not an exception. */
const patterns: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[\n\\]?\s*[A-Za-z0-9+/]{16}/, 'a private key in PEM'],
  [
    /\b(?:password|passwd|passphrase|secret|apiKey|accessToken)\b\s*[:=]\s*(['"`])(?!\1)[^'"`${}\s]{3,}\1/i,
    'a password or secret given in the source',
  ],
  [
    /\b(?:privateKey|psk|preshared\w*|tunnelKey|identityKey|enrolmentKey)\b\s*[:=]\s*(?:fromHex\(|Buffer\.from\(|new Uint8Array\(\[)?\s*['"`][0-9a-zA-Z+/=]{32,}/,
    'a key given in the source',
  ],
  [/['"`](?:[0-9a-f]{64}|[0-9A-F]{64})['"`]/, 'thirty-two bytes in hex'],
  [/['"`][A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=['"`]/, 'a WireGuard key in base64'],
  [/['"`]adit1-[A-Za-z0-9_-]{40,}['"`]/, 'a claim token'],
  [/(['"])(?:admin|root|pi|user|default):[^'"`\s${}]{3,}\1/i, 'a user with a password'],
]

/** Where each suspicious line is. */
const findings = (files: readonly SourceFile[]): string[] =>
  files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, i) =>
        patterns
          .filter(([pattern]) => pattern.test(line))
          .map(([, what]) => `${path}:${i + 1}: ${what}: ${line.trim().slice(0, 100)}`),
      ),
  )

test('A-48 no default password, universal credential or hard-coded key stands in what ships', () => {
  assert.deepEqual(findings(sourceFiles('shared', 'agent', 'broker', 'firmware-sim')), [])
})

test('A-48 the search finds each kind', () => {
  const planted = [
    "const key = '-----BEGIN PRIVATE KEY-----MIGHAgEAMBMGByqGSM49'",
    "const options = { user: 'x', password: 'raspberry' }",
    `const privateKey = fromHex('${'ab'.repeat(32)}')`,
    `peer('${'0f'.repeat(32)}')`,
    `'${'A'.repeat(42)}A='`,
    `'adit1-${'x'.repeat(80)}'`,
    "login('admin:hunter2')",
  ]
  for (const [i, text] of planted.entries()) assert.ok(findings([{ path: 'planted.ts', text }]).length > 0, `case ${i}: ${text}`)
})
