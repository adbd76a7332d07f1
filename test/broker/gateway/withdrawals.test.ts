import assert from 'node:assert/strict'
import test from 'node:test'
import { Withdrawals } from '#broker/gateway/withdrawals.ts'
import type { Principal } from '#broker/registry/principal.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Association } from '#shared/tunnel/association.ts'
import { WITHDRAWAL_PORT } from '#shared/wire/withdrawal-notice.ts'

const principals = [
  { id: 1, kind: 'operator', name: 'ann', addresses: ['fd00::1'], tunnelKey: '01'.repeat(32) },
  { id: 2, kind: 'operator', name: 'bob', addresses: ['fd00::2', '100.64.0.2'], tunnelKey: '02'.repeat(32) },
  { id: 3, kind: 'device', name: 'pump', addresses: ['fd00::3'], tunnelKey: '03'.repeat(32) },
  { id: 4, kind: 'device', name: 'router', addresses: ['fd00::4'], tunnelKey: undefined },
] as unknown as Principal[]

function place() {
  const sent: string[] = []
  const waits: number[] = []
  const withdrawals = new Withdrawals({
    peers: { entries: () => new Map(principals.map(({ id }) => [id, {} as Association])).entries() },
    directory: {
      byId: (id) => principals.find((one) => one.id === id),
      byPeerKey: (key) => principals.find(({ name }) => name === key),
    },
    netstack: {
      bindUdp: () => ({
        send: (notice: Uint8Array, address: string, port: number) => sent.push(`${toHex(notice).slice(0, 2)} ${address} ${port}`),
        close: () => {},
      }),
    } as never,
    timers: {
      setTimer(delay: number, task: () => void) {
        waits.push(delay)
        task()
      },
    } as never,
  })
  return { withdrawals, sent, waits }
}

const end = (name: string): Association => ({ peerKey: name }) as Association
const [ann, bob] = [`03 fd00::1 ${WITHDRAWAL_PORT}`, `03 fd00::2 ${WITHDRAWAL_PORT}`]

test('of a revoked device all operators are told, three times within half a second', () => {
  const { withdrawals, sent, waits } = place()
  withdrawals.tell(principals[2]!)
  assert.deepEqual(sent, [ann, bob, ann, bob, ann, bob])
  assert.deepEqual(waits, [0, 200, 500])
  withdrawals.tell(principals[3]!)
  withdrawals.tell(principals[0]!)
  assert.equal(sent.length, 6, 'nobody holds an association with the router, nor with an operator')
})

test('of a last grant that has gone the operator of that flow is told, and nobody else', () => {
  const { withdrawals, sent } = place()
  withdrawals.part({ initiator: end('ann'), responder: end('pump') })
  assert.deepEqual(sent, [ann, ann, ann])
  for (const flow of [
    { initiator: end('pump'), responder: end('ann') },
    { initiator: end('ann'), responder: end('bob') },
    { initiator: end('ann'), responder: end('router') },
    { initiator: end('gone'), responder: end('pump') },
    { initiator: end('ann'), responder: undefined },
    { initiator: undefined, responder: end('pump') },
  ])
    withdrawals.part(flow)
  assert.equal(sent.length, 3)
})
