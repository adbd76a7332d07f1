// Bundles the programs into dist/: one small entry each and shared chunks, so that a verb loads only what it uses.
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const programs = {
  'adit-broker': 'broker/main.ts',
  'adit-agent': 'agent/device/main.ts',
  adit: 'agent/operator/main.ts',
  'adit-sim': 'firmware-sim/main.ts',
}

/** Packages with compiled parts: they are installed beside the bundle, not put into it. */
const compiled = ['sqlite3', 'koffi', 'cpu-features', 'cbor-extract', 'serialport', 'graphene-pk11']
/** Likewise those that look for files of their own at run time: metrics of fonts, a helper for Windows. */
const withFiles = ['pdfkit', 'ssh2']

const manifest = JSON.parse(readFileSync('package.json', 'utf8'))
const shared = JSON.parse(readFileSync('shared/package.json', 'utf8'))
const agent = JSON.parse(readFileSync('agent/package.json', 'utf8'))
const simulator = JSON.parse(readFileSync('firmware-sim/package.json', 'utf8'))

rmSync('dist', { recursive: true, force: true })
const result = await build({
  entryPoints: { ...programs, 'lane-worker': 'shared/platform/linux-engine/lane-worker.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  chunkNames: 'chunks/[name]-[hash]',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  // Node's own streams, published as a package for old Nodes and browsers: 126 kB of code that would be there twice.
  alias: { 'readable-stream': 'node:stream' },
  external: [...compiled, ...withFiles, '*.node'],
  define: {
    'process.env.ADIT_VERSION': JSON.stringify(manifest.version),
    'process.env.ADIT_BUILD_TIME': JSON.stringify(String(Date.now())),
  },
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as aditCreateRequire } from 'node:module'; const require = aditCreateRequire(import.meta.url);",
  },
  metafile: true,
  logLevel: 'warning',
})

writeFileSync(
  'dist/package.json',
  `${JSON.stringify(
    {
      name: 'adit',
      version: manifest.version,
      license: manifest.license,
      type: 'module',
      engines: manifest.engines,
      bin: Object.fromEntries(Object.keys(programs).map((name) => [name, `./${name}.js`])),
      dependencies: { sqlite3: shared.dependencies.sqlite3 },
      optionalDependencies: {
        ...shared.optionalDependencies,
        ...agent.optionalDependencies,
        pdfkit: agent.dependencies.pdfkit,
        ssh2: simulator.dependencies.ssh2,
      },
    },
    null,
    2,
  )}\n`,
)
launchWithSmallHeap('dist/adit-agent.js')
for (const name of Object.keys(programs)) chmodSync(`dist/${name}.js`, 0o755)

const total = Object.values(result.metafile.outputs).reduce((sum, { bytes }) => sum + bytes, 0)
process.stdout.write(
  `dist/: ${Object.keys(programs).join(', ')} (${(total / 1e6).toFixed(1)} MB in ${Object.keys(result.metafile.outputs).length} files)\n`,
)

/**
 * Makes a program start through sh, which sets what glibc's malloc reads before main() and no program can set for itself. By default it
 * keeps a heap for each of ten threads, and, once a megabyte was freed, two megabytes of each: 15 MB of an agent that nobody uses. A C
 * library without these settings leaves them alone. For sh the second line is the command `:` and what follows, for JavaScript a string
 * and a comment.
 */
function launchWithSmallHeap(path) {
  const settings = 'MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072'
  const launcher = `#!/bin/sh\n':' //; export ${settings}; exec node "$0" "$@"\n`
  writeFileSync(
    path,
    readFileSync(path, 'utf8').replace(/^#!.*\n/, () => launcher),
  )
}
