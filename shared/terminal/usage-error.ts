import { AditError } from '#shared/errors.ts'
import { sentence } from '#shared/terminal/sentence.ts'

/** What a library of command lines says of a program: its name, and the verbs below it. */
export interface CommandNames {
  name(): string
  readonly commands: readonly CommandNames[]
}

/** An error of that library. */
interface ParseError {
  readonly code: string
  readonly message: string
}

/**
 * Words that a program does not understand, as AditError `usage`: one sentence, and the help of the deepest verb that was named. `words`
 * are those after the program's name. Pure.
 */
export function usageError({ code, message }: ParseError, root: CommandNames, words: readonly string[]): AditError {
  const path = pathOf(root, words)
  return new AditError(
    'usage',
    helpCodes.has(code) ? 'A verb is missing.' : sentence(message.replace(/^error: /, '').replace(/\s+/g, ' ')),
    `See: ${path} --help`,
  )
}

/** Help that nobody asked for: the library's answer to a noun without its verb. */
const helpCodes = new Set(['commander.help'])

function pathOf(root: CommandNames, words: readonly string[]): string {
  const path = [root.name()]
  let command = root
  for (const word of words) {
    if (word === '--') break
    const below = command.commands.find((candidate) => candidate.name() === word)
    if (below === undefined) continue
    path.push(word)
    command = below
  }
  return path.join(' ')
}
