import assert from 'node:assert/strict'
import test from 'node:test'
import { type CommandNames, usageError } from '#shared/terminal/usage-error.ts'

const named = (name: string, ...commands: CommandNames[]): CommandNames => ({ name: () => name, commands })
const broker = named('adit-broker', named('claim', named('create'), named('list')), named('status'))

test('words that are not understood: one sentence, and the help of the deepest verb that was named', () => {
  const rows: [message: string, words: string[], said: string, see: string][] = [
    ["error: unknown command 'frob'", ['frob'], "Unknown command 'frob'.", 'adit-broker'],
    [
      "error: unknown command 'clam'\n(Did you mean claim?)",
      ['clam'],
      "Unknown command 'clam' (Did you mean claim?).",
      'adit-broker',
    ],
    ["error: unknown option '--x'", ['claim', 'create', '--x'], "Unknown option '--x'.", 'adit-broker claim create'],
    [
      "error: option '--ttl <span>' argument missing.",
      ['--json', 'claim', 'create', '--ttl'],
      "Option '--ttl <span>' argument missing.",
      'adit-broker claim create',
    ],
    ["error: missing required argument 'id'", ['status', '--', 'claim'], "Missing required argument 'id'.", 'adit-broker status'],
  ]
  for (const [message, words, said, see] of rows) {
    const error = usageError({ code: 'commander.any', message }, broker, words)
    assert.deepEqual([error.code, error.message, error.mend, error.exitStatus], ['usage', said, `See: ${see} --help`, 2])
  }
})

test('a noun without its verb is answered by what is missing, not by the name of the help that nobody asked for', () => {
  const error = usageError({ code: 'commander.help', message: '(outputHelp)' }, broker, ['claim'])
  assert.deepEqual([error.message, error.mend], ['A verb is missing.', 'See: adit-broker claim --help'])
})
