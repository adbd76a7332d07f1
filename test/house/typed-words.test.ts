import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { program as deviceProgram } from '#agent/device/command-line.ts'
import { program as operatorProgram } from '#agent/operator/program.ts'
import { program as brokerProgram } from '#broker/cli/command-line.ts'
import { sourceFiles } from '#test/house/source-files.ts'

/** Every command that a page or a help text tells somebody to type is one that the programs understand: its verb, and each of its flags. */

const root = join(import.meta.dirname, '../..')
const nowhere = { out() {}, err() {}, env: {}, home: '/', isRoot: false }

/** As much of a commander's command as is asked here. */
interface Typed {
  name(): string
  readonly commands: readonly Typed[]
  readonly options: readonly { readonly long?: string | undefined; readonly short?: string | undefined }[]
  helpInformation(): string
}

const programs: readonly Typed[] = [brokerProgram(nowhere), deviceProgram(), operatorProgram()]

/** What follows these is OpenSSH's, or called by none but us. */
const passedOn = new Set(['adit ssh', 'adit cp', 'adit proxy'])

test('the commands of READMEs, changelog, configuration manuals and units exist, with each of their flags', () => {
  const folders = ['shared', 'agent', 'broker', 'firmware-sim', 'test']
  const pages = ['README.md', 'CHANGELOG.md', ...folders.flatMap(pagesBelow)]
  const wrong = pages.flatMap((path) => {
    const text = readFileSync(join(root, path), 'utf8')
    return commandsIn(path.endsWith('.md') ? codeOf(text) : text).flatMap((words) =>
      faultsOf(words).map((why) => `${path}: ${words.join(' ')}: ${why}`),
    )
  })
  assert.deepEqual(wrong, [])
})

test('every verb has help with examples, and its examples can be typed', () => {
  const wrong = programs.flatMap((program) =>
    leavesOf(program).flatMap(({ path, command }) => {
      const examples = /^Examples:\n((?: {2}.+\n?)+)/m.exec(helpOf(command))?.[1]
      if (examples === undefined) return [`${path}: no examples`]
      return commandsIn(examples).flatMap((words) => faultsOf(words).map((why) => `${words.join(' ')}: ${why}`))
    }),
  )
  assert.deepEqual(wrong, [])
})

test('the commands of the mends in the sources exist too', () => {
  const wrong = sourceFiles('shared', 'agent', 'broker').flatMap(({ path, text }) =>
    [...text.matchAll(/'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`/g)].flatMap(([, single, template]) => {
      const said = (single ?? template ?? '').replace(/\$\{[^}]*\}/g, 'VALUE')
      // In a mend a command stands behind a colon; elsewhere the words may be the name of something.
      const commands = commandsIn(said.split(': ').slice(1).join('\n'))
      return commands.flatMap((words) => faultsOf(words).map((why) => `${path}: ${words.join(' ')}: ${why}`))
    }),
  )
  assert.deepEqual(wrong, [])
})

const pagesBelow = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(md|toml)$/.test(path) && !path.includes('node_modules'))
    .map((path) => join(folder, path))

/** Fenced blocks and code spans of a page, a command a line. */
function codeOf(page: string): string {
  const fences: string[] = []
  const prose = page.replace(/^```.*\n([\s\S]*?)^```/gm, (_all, inside: string) => {
    fences.push(inside.replace(/\\\n\s*/g, ' '))
    return ''
  })
  const spans = [...prose.matchAll(/`([^`]+)`/g)].map(([, span]) => span!.replace(/\s+/g, ' '))
  return [...fences, ...spans].join('\n')
}

/** `program word word …` for each command that a text tells to type, from where a command can begin to where the sentence or it ends. */
function commandsIn(text: string): string[][] {
  const plain = text
    .split('\n')
    .filter((line) => !/[═─│]/.test(line))
    .map((line) => line.replace(/"[^"]*"|'[^']*'/g, 'QUOTED').trim())
  const begun = /(?:^|npx |sudo |[|;:] |--init-groups )(adit(?:-broker|-agent)?) ([^|;#<>`$]+)/g
  return plain.flatMap((line) =>
    [...line.matchAll(begun)].map(([, program, rest]) => [
      program!,
      ...rest!
        .replace(/[.,:)](?: .*)?$/, '')
        .trim()
        .split(/\s+/),
    ]),
  )
}

function faultsOf([program, ...words]: readonly string[]): string[] {
  let command = programs.find((one) => one.name() === program)!
  let path = program!
  const flags = new Set<string>()
  const know = (): void => {
    for (const { long, short } of command.options) for (const flag of [long, short]) if (flag) flags.add(flag)
  }
  know()
  const faults: string[] = []
  for (const word of words) {
    if (word === '--') break
    if (word === '-') continue
    if (word.startsWith('-')) {
      const flag = word.replace(/[=[\]].*/, '')
      if (!flags.has(flag) && !['--help', '--version'].includes(flag)) faults.push(`no flag ${flag}`)
      continue
    }
    // A noun that is put in when it is said.
    if (word === 'VALUE' && command.commands.length > 0) break
    if (command.commands.length === 0 || !/^[a-z][a-z-]+$/.test(word)) continue
    const below = command.commands.find((one) => one.name() === word)
    path += ` ${word}`
    if (passedOn.has(path)) break
    if (below === undefined) {
      if (command.name() !== 'devices') faults.push(`no verb ${word}`)
      break
    }
    command = below
    know()
  }
  return faults
}

function leavesOf(command: Typed, above = ''): { path: string; command: Typed }[] {
  const path = `${above}${command.name()}`
  if (command.commands.length === 0) return [{ path, command }]
  return command.commands.flatMap((below) => leavesOf(below, `${path} `))
}

function helpOf(command: Typed): string {
  let help = ''
  const shown = command as Typed & { configureOutput(o: object): void; outputHelp(): void }
  shown.configureOutput({ writeOut: (text: string) => (help += text) })
  shown.outputHelp()
  return help
}
