import { connect, type Socket } from 'node:net'
import type { Reached } from '#agent/doctor/facts.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'

/** For a connection to open, ms: a lost first packet is sent again after one second, and after two more. */
const patienceMs = 4_000

/** A connection, or what came instead of it. */
export function openTcp({ address, port }: Endpoint): Promise<{ socket: Socket } | { reached: Exclude<Reached, 'open'> }> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    const timer = setTimeout(() => fail('silent'), patienceMs)
    const fail = (reached: Exclude<Reached, 'open'>): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ reached })
    }
    socket.once('error', ({ code }: NodeJS.ErrnoException) => fail(outcomeOf(code)))
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.removeAllListeners('error')
      socket.on('error', () => socket.destroy())
      resolve({ socket })
    })
  })
}

/** For the other end to hang up too, ms. */
const partingMs = 2_000

/** Whether somebody answers there. What he says first is read: thrown away unread, it would be answered by a reset, which services log as a fault. */
export async function reachTcp(endpoint: Endpoint): Promise<Reached> {
  const opened = await openTcp(endpoint)
  if ('reached' in opened) return opened.reached
  const { socket } = opened
  const timer = setTimeout(() => socket.destroy(), partingMs)
  socket.once('close', () => clearTimeout(timer))
  socket.resume().end()
  return 'open'
}

/** What our own system says when it has no way there; a router's word about a host is as good as silence. */
const noWay = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'])

function outcomeOf(code = ''): Exclude<Reached, 'open'> {
  if (code === 'ECONNREFUSED' || code === 'ECONNRESET') return 'refused'
  return noWay.has(code) ? 'unreachable' : 'silent'
}
