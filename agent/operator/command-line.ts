import type { CommanderError } from 'commander'
import type { OperatorContext } from '#agent/operator/context.ts'
import { operatorContext, printError } from '#agent/operator/io/operator-context.ts'
import { type AditError, toAditError } from '#shared/errors.ts'
import { type CommandNames, usageError } from '#shared/terminal/usage-error.ts'

interface GlobalOptions {
  state?: string
  json?: boolean
  path?: string
}

/** Runs `adit` with the words after its name, and sets the exit status. Each verb's code is loaded when it is called. */
export async function runOperator(words: readonly string[]): Promise<void> {
  // `adit … | head` closes our output: that is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const leading = leadingOptions(words)
  let adit: CommandNames | undefined
  try {
    const verb = plainVerb(leading.rest)
    if (verb !== undefined) {
      const own = leadingOptions(leading.rest.slice(1))
      const context = operatorContext({ ...leading.options, ...own.options })
      process.exitCode = await verb(context, own.rest)
    } else {
      const program = (await import('#agent/operator/program.ts')).program()
      adit = program
      await program.parseAsync([...words], { from: 'user' })
    }
  } catch (error) {
    process.exitCode = endWith(error, adit, words)
  }
}

type Verb = (context: OperatorContext, words: string[]) => Promise<number>

/** Verbs whose words belong to OpenSSH: commander must not read them. */
const sshVerbs: Record<string, Verb> = {
  ssh: async (context, words) => (await import('#agent/operator/verbs/ssh.ts')).ssh(context, words),
  cp: async (context, words) => (await import('#agent/operator/verbs/cp.ts')).cp(context, words),
}

/** What adit itself calls, and ssh for each connection: not in the help, and started without what they do not need. */
const innerVerbs: Record<string, Verb> = {
  proxy: async (context, words) => (await import('#agent/operator/verbs/proxy.ts')).proxy(context, words),
  'tunnel-process': async ({ stateFolder }) =>
    (await import('#agent/operator/io/tunnel-process.ts')).runTunnelProcess(stateFolder).then(() => 0),
}

function plainVerb([name = '', first]: readonly string[]): Verb | undefined {
  if (Object.hasOwn(innerVerbs, name)) return innerVerbs[name]
  const wantsHelp = first === '--help' || first === '-h'
  return Object.hasOwn(sshVerbs, name) && !wantsHelp ? sshVerbs[name] : undefined
}

/** `--state DIR`, `--path WAY` and `--json` stand before a verb, or right after it. */
function leadingOptions(words: readonly string[]): { options: GlobalOptions; rest: string[] } {
  const options: GlobalOptions = {}
  let at = 0
  for (; at < words.length; at++) {
    const word = words[at]!
    if (word === '--json') options.json = true
    else if (word === '--state' && words[at + 1] !== undefined) options.state = words[++at]!
    else if (word === '--path' && words[at + 1] !== undefined) options.path = words[++at]!
    else if (word.startsWith('--path=')) options.path = word.slice('--path='.length)
    else if (word.startsWith('--state=')) options.state = word.slice('--state='.length)
    else break
  }
  return { options, rest: words.slice(at) }
}

/** Says what went wrong, and returns the exit status. */
function endWith(error: unknown, adit: CommandNames | undefined, words: readonly string[]): number {
  if (adit === undefined || !isCommanderError(error)) return tell(toAditError(error), words)
  // Help that was asked for ends well; commander has printed it.
  return error.exitCode === 0 ? 0 : tell(usageError(error, adit, words), words)
}

const isCommanderError = (error: unknown): error is CommanderError =>
  error instanceof Error && 'exitCode' in error && (error as CommanderError).code.startsWith('commander.')

function tell(error: AditError, words: readonly string[]): number {
  printError(error, words.slice(0, words.indexOf('--') < 0 ? undefined : words.indexOf('--')).includes('--json'))
  return error.exitStatus
}
