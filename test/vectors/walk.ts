import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { BrokenFormat, type VectorKind, type Verdicts } from './verdict.ts'

export const kindNames = ['noise', 'wycheproof', 'wireguard', 'stun', 'cbor', 'cose', 'x509', 'esp', 'ike'] as const
export type KindName = (typeof kindNames)[number]

export const isKindName = (name: string): name is KindName => (kindNames as readonly string[]).includes(name)

/** Loaded on demand: a run of one kind pays for no other. */
export const loadKind = (name: KindName): Promise<VectorKind> => loaders[name]()

const loaders: Readonly<Record<KindName, () => Promise<VectorKind>>> = {
  noise: () => import('./noise.ts'),
  wycheproof: () => import('./wycheproof.ts'),
  wireguard: () => import('./wireguard.ts'),
  stun: () => import('./stun.ts'),
  cbor: () => import('./cbor.ts'),
  cose: () => import('./cose.ts'),
  x509: () => import('./x509.ts'),
  esp: () => import('./esp.ts'),
  ike: () => import('./ike.ts'),
}

/** Judges a file, or in a folder every file of the kind. Throws BrokenFormat with a sentence for the person who gave the path. */
export async function judgePath(kind: VectorKind, name: KindName, path: string, verdicts: Verdicts): Promise<void> {
  const stat = readable(path, () => statSync(path, { throwIfNoEntry: false }))
  if (stat === undefined) throw new BrokenFormat(`${path} does not exist`)
  if (!stat.isDirectory()) {
    const contents = contentsOf(path)
    if (!kind.recognises(path, contents)) throw new BrokenFormat(`${path} does not look like ${name} vectors`)
    await kind.judge(path, contents, verdicts)
    return
  }
  let files = 0
  for (const file of filesUnder(path)) {
    let contents: unknown
    try {
      contents = contentsOf(file)
    } catch (error) {
      if (!(error instanceof BrokenFormat)) throw error
      verdicts.fail(relative(path, file), 'file', error.message)
      continue
    }
    if (!kind.recognises(file, contents)) continue
    files++
    await kind.judge(file, contents, verdicts)
  }
  if (files === 0) throw new BrokenFormat(`no file under ${path} looks like ${name} vectors`)
}

/** Parsed where the name ends in .json or the bytes begin like JSON, else the bytes. */
function contentsOf(path: string): unknown {
  const bytes = readable(path, () => readFileSync(path))
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)
  const looksLikeJson = first === 0x7b || first === 0x5b
  if (!path.endsWith('.json') && !looksLikeJson) return bytes
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    if (!path.endsWith('.json')) return bytes
    throw new BrokenFormat(`${path} is not JSON: ${(error as Error).message}`)
  }
}

/** What the system refuses is a matter for the person who gave the path. */
function readable<Result>(path: string, read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    throw new BrokenFormat(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Every file below, in the order of names, so that two runs tell the same story. */
function* filesUnder(folder: string): Generator<string> {
  for (const entry of readable(folder, () => readdirSync(folder, { withFileTypes: true })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesUnder(path)
    else if (entry.isFile()) yield path
  }
}
