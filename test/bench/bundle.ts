import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..', '..')

/**
 * A program and the lane's worker as they would be shipped, in a temporary folder: what tsx holds in memory is not in the figures of who runs
 * it. Returns the program's file.
 */
export async function bundled(t: { after(step: () => void): void }, entry: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'adit-bundle-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  // Packages with compiled parts are found where they are installed.
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  await build({
    entryPoints: { program: entry, 'lane-worker': join(root, 'shared/platform/linux-engine/lane-worker.ts') },
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    minifySyntax: true,
    external: ['koffi', 'sqlite3', 'cpu-features', 'cbor-extract', '*.node'],
    banner: {
      js: "import { createRequire as aditCreateRequire } from 'node:module'; const require = aditCreateRequire(import.meta.url);",
    },
    logLevel: 'error',
  })
  return join(folder, 'program.js')
}
