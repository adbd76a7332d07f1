import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import test from 'node:test'
import { shellWord } from '#shared/terminal/shell-word.ts'

test('a shell reads back every word as it was, and a plain one stays plain', () => {
  assert.equal(shellWord('/var/lib/adit-agent'), '/var/lib/adit-agent')
  for (const word of ['', 'a b', "it's", '$HOME', '`id`', 'a;b', '*', '~', 'a\nb', 'größe'])
    assert.equal(execFileSync('sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' }), word)
})
