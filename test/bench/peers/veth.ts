import type { Contender } from './contender.ts'

/** No tunnel at all: what the wire itself does, and what iperf3 and ping cost. */
export const veth: Contender = {
  name: 'veth',
  lacks: () => undefined,
  start: async ({ outerA, outerB, wireA, wireB }) => ({
    innerA: outerA,
    innerB: outerB,
    deviceA: wireA,
    deviceB: wireB,
    processes: { a: [], hop: [], b: [] },
  }),
}
