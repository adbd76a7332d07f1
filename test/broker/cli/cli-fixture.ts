import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext } from 'node:test'
import { openFolder } from '#broker/admin/data-folder.ts'
import { serveAdmin } from '#broker/admin/io/admin-server.ts'
import type { LiveTunnel } from '#broker/admin/office.ts'
import { perform } from '#broker/admin/operations.ts'
import { runCommandLine } from '#broker/cli/command-line.ts'
import { parseConfig } from '#broker/config.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { silentLog } from '#shared/platform/log.ts'

export interface Outcome {
  status: number
  out: string
  err: string
}

/** The command line of the broker in this process, its streams caught, with a folder of its own for everything. */
export class Cli {
  readonly root = mkdtempSync(join(tmpdir(), 'adit-cli-'))
  #count = 0

  constructor() {
    after(() => rmSync(this.root, { recursive: true }))
  }

  /** A place where nothing is yet. */
  fresh(label = 'data'): string {
    return join(this.root, `${label}-${++this.#count}`)
  }

  run(...words: string[]): Promise<Outcome> {
    return this.runWith('', ...words)
  }

  /** `input`: what stands on standard input. */
  async runWith(input: string | Uint8Array, ...words: string[]): Promise<Outcome> {
    let out = ''
    let err = ''
    const terminal = {
      out: (text: string) => (out += text),
      err: (text: string) => (err += text),
      input: async () => input,
      env: {},
      home: this.root,
      isRoot: false,
    }
    const status = await runCommandLine(words, terminal)
    return { status, out, err }
  }

  /** A command that must succeed; the one JSON document that it says. */
  async json<Result>(...words: string[]): Promise<Result> {
    const { status, out, err } = await this.run(...words, '--json')
    assert.equal(status, 0, err)
    assert.equal(out.split('\n').length, 2, 'one line')
    return JSON.parse(out) as Result
  }
}

export interface Desk {
  readonly data: string
  readonly registry: Registry
  /** Every question that came through the socket, as JSON. */
  readonly asked: readonly string[]
}

/** A fresh data folder with somebody behind its socket, as a running broker would be, so that a command is quick. */
export async function openDesk(
  t: TestContext,
  cli: Cli,
  options: { config?: string; afterwards?: (verb: string) => void; tunnel?: (principal: Principal) => LiveTunnel } = {},
): Promise<Desk> {
  const data = cli.fresh()
  const config = parseConfig(options.config ?? '', 'test')
  const open = await openFolder(data, config, silentLog, { serve: true })
  const { tunnel } = options
  const live = tunnel && { listening: { listen: '127.0.0.1:4500', api: 'https://127.0.0.1:8443' }, status: () => ({}), tunnel }
  const office = open.office(config, live)
  const asked: string[] = []
  const answer = async (verb: string, args: unknown): Promise<unknown> => {
    asked.push(JSON.stringify({ verb, args }))
    const result = await perform(office, verb, args)
    options.afterwards?.(verb)
    return result
  }
  const server = await serveAdmin(data, answer, silentLog)
  t.after(async () => {
    await server.close()
    await open.close()
  })
  return { data, registry: open.registry, asked }
}
