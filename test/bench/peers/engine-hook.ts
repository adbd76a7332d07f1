import { setTimeout as wait } from 'node:timers/promises'
import type { Contender } from './contender.ts'
import { Daemon } from './daemon.ts'
import { lackingProgram } from './lacking.ts'

/**
 * Any two programs that make a tunnel without a broker, for work on an engine alone: ADIT_ENGINE names an executable, which is started in each
 * namespace as `$ADIT_ENGINE ROLE TUN INNER LOCAL PEER` (`a adit-e 10.94.0.1/24 10.99.0.1 10.99.0.2`), makes the interface TUN with the address
 * INNER, brings it up, and runs until SIGTERM.
 */
const program = process.env.ADIT_ENGINE

const device = 'adit-e'
const [innerA, innerB] = ['10.94.0.1', '10.94.0.2']

export const aditEngine: Contender = {
  name: 'adit-engine',
  lacks: () => (program === undefined ? 'ADIT_ENGINE names no program.' : lackingProgram(program, 'of your own')),
  async start({ a, b, outerA, outerB }, t) {
    const endA = Daemon.start(t, a, program!, 'a', device, `${innerA}/24`, outerA, outerB)
    const endB = Daemon.start(t, b, program!, 'b', device, `${innerB}/24`, outerB, outerA)
    // Nothing says that it is up; whether it carries data is looked at next.
    await wait(2_000)
    return { innerA, innerB, deviceA: device, deviceB: device, processes: { a: [endA.pid], hop: [], b: [endB.pid] } }
  },
}
