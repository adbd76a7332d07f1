import assert from 'node:assert/strict'
import test from 'node:test'
import { wayParts } from '#agent/station/io/way-parts.ts'
import { LineFixture } from '#test/agent/station/station-fixture.ts'

test('the token for the image of the boards is told to a person, and to a program', async (t) => {
  const line = await LineFixture.open(t)
  const path = await line.init()
  const station = await line.open(path, { mode: 'offline' })
  for (const json of [false, true]) {
    const noted: string[] = []
    const written: string[] = []
    const context = {
      path,
      json,
      ports: () => line.ports(),
      note: (text: string) => void noted.push(text),
      write: async (text: string) => void written.push(text),
    }
    const parts = await wayParts(station, context)
    parts.onToken('adit1-TOKEN')
    assert.deepEqual(
      [noted, written],
      json ? [[], ['{"event":"line","token":"adit1-TOKEN"}\n']] : [["The boards' image needs this token: adit1-TOKEN"], []],
    )
  }
})
