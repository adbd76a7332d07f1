import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

const root = join(import.meta.dirname, '..', '..')

export interface SourceFile {
  /** Path from the root with forward slashes: `shared/wire/stun.ts`. */
  path: string
  text: string
}

/** Every TypeScript file of the given top-level folders, in a stable order. */
export function sourceFiles(...folders: readonly string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.split(sep).includes('node_modules'))
      .sort()
      .map((name) => join(root, folder, name))
      .map((file) => ({ path: relative(root, file).replaceAll(sep, '/'), text: readFileSync(file, 'utf8') })),
  )
}

const aliases: readonly [prefix: string, folder: string][] = [
  ['#shared/', 'shared/'],
  ['@adit/shared/', 'shared/'],
  ['#agent/', 'agent/'],
  ['@adit/agent/', 'agent/'],
  ['#broker/', 'broker/'],
  ['@adit/broker/', 'broker/'],
  ['#sim/', 'firmware-sim/'],
  ['#test/', 'test/'],
]

/** What a file imports: paths from the root for our own files, bare specifiers (`node:fs`, `mqtt`) for others. */
export function importsOf(file: SourceFile): string[] {
  const specifiers = [
    ...file.text.matchAll(/^\s*(?:import|export)\b[^'"`;]*?from\s*'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|^import\s+'([^']+)'/gm),
  ]
  return specifiers.map((match) => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? ''
    const alias = aliases.find(([prefix]) => specifier.startsWith(prefix))
    if (alias) return alias[1] + specifier.slice(alias[0].length)
    if (specifier.startsWith('.')) return relative(root, join(root, file.path, '..', specifier)).replaceAll(sep, '/')
    return specifier
  })
}
