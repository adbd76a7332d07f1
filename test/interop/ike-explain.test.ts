import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { IpsecTown, setting } from '#test/lab/ipsec-town.ts'

/** Wrong in every way that happens to people: each is told what to change, at the broker; the wire says as little as ever. */

interface Negotiation {
  code: string
  message: string
  offered: string[]
  allowed: string[]
  nearest: { offered: string; allowed: string; differs: string } | null
  mendHere: string
  mendThere: string
}

const wrong: readonly { name: string; edit: (conf: string) => string; code: string; said: RegExp; mend: RegExp }[] = [
  {
    name: 'an IKE proposal with SHA-1 and a group of 1024 bits',
    edit: setting('proposals', 'aes256-sha1-modp1024'),
    code: 'no-proposal-chosen',
    said: /NO_PROPOSAL_CHOSEN/,
    mend: /proposals = aes256/,
  },
  {
    name: 'an ESP proposal that is not allowed',
    edit: setting('esp_proposals', '3des-sha1'),
    code: 'no-proposal-chosen',
    said: /NO_PROPOSAL_CHOSEN/,
    mend: /esp_proposals = aes/,
  },
  {
    name: 'traffic selectors of somebody else',
    edit: setting('local_ts', '172.31.0.0/16'),
    code: 'selectors-unacceptable',
    said: /TS_UNACCEPTABLE/,
    mend: /local_ts/,
  },
]

describe('a negotiation that fails is explained', () => {
  for (const { name, edit, code, said, mend } of wrong) {
    test(name, async (t) => {
      const town = await IpsecTown.open(t)
      const peer = await town.peer(t, 'pump', { edit })
      assert.match(await peer.refused(), said)
      const rows = await town.fleet.admin<Negotiation[]>('negotiations')
      const [last] = rows
      assert.equal(last?.code, code, JSON.stringify(rows))
      assert.match(last.mendThere, mend)
      assert.notEqual(last.mendHere, '')
      assert.ok(last.message.length > 10)
    })
  }
})
