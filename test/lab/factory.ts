import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { Fleet } from '#test/lab/fleet.ts'
import { type Finished, type JsonEvent, Program, run } from '#test/lab/program.ts'

/** A real fleet with a station of it, as the people of a factory have it: names `pump-{n}`, twenty of them. */
export class Factory {
  readonly fleet: Fleet
  readonly state: string

  private constructor(fleet: Fleet) {
    this.fleet = fleet
    this.state = join(fleet.folder, 'station')
  }

  static async open(t: Pick<TestContext, 'after'>): Promise<Factory> {
    const fleet = await Fleet.start(t)
    const authorised = await fleet.admin<{ claim: string }>(
      ...['station', 'authorize', '--name', 'line-1', '--names', 'pump-{n}', '--tag', 'pumps', '--quota', '20', '--ttl', '7d'],
    )
    const factory = new Factory(fleet)
    await factory.station('init', '--claim', authorised.claim)
    return factory
  }

  /** A command of the station that must succeed; returns the last JSON that it says. */
  async station(...words: readonly string[]): Promise<JsonEvent> {
    const { status, stdout, stderr } = await this.tries(...words)
    assert.equal(status, 0, `adit station ${words[0]}: ${stderr}`)
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as JsonEvent
  }

  /** One that may fail. */
  tries(...words: readonly string[]): Promise<Finished> {
    return run('adit', ['station', ...words, '--state', this.state, '--json'], { timeoutMs: 180_000 })
  }

  /** One that runs on; for a person, so that it says the token of the line. */
  start(...words: readonly string[]): Program {
    return Program.start('adit', ['station', ...words, '--state', this.state])
  }

  /** What a station that runs says for the image of its boards. */
  async tokenOf(program: Program): Promise<string> {
    for (const end = Date.now() + 30_000; Date.now() < end; await wait(50)) {
      const token = /(adit1-[A-Za-z0-9_-]+)/.exec(program.stderr)?.[1]
      if (token !== undefined) return token
      assert.ok(program.running, program.stderr)
    }
    throw new Error(`no token; it said: ${program.stderr}`)
  }

  /** Whether the broker has that board, with the tag of its line. */
  async has(name: string): Promise<boolean> {
    const devices = await this.fleet.admin<readonly { name: string; tags: readonly string[] }[]>('device', 'list')
    return devices.some((device) => device.name === name && device.tags.includes('pumps'))
  }
}
