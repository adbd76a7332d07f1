/**
 * A name server of a few lines, to be run inside a namespace (port 53 of ADDRESS). It is told how to behave by lines on standard input:
 * `truth ADDR`, `lie ADDR` (both answer A with ADDR), `nxdomain`, `silent`, `slow MS ADDR`. Says `{"event":"ready"}` and each behaviour back.
 */
import { createSocket } from 'node:dgram'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'

const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`)
const typeA = 1
const nameError = 3

let behaviour = 'silent'
const socket = createSocket('udp4')
socket.on('message', async (question, from) => {
  const [kind, ...words] = behaviour.split(' ')
  if (kind === 'silent') return
  if (kind === 'slow') await wait(Number(words.shift()))
  const answer = kind === 'nxdomain' ? reply(question, nameError) : reply(question, 0, words[0])
  socket.send(answer, from.port, from.address)
})
socket.bind(53, process.argv[2], () => say({ event: 'ready' }))
createInterface({ input: process.stdin }).on('line', (line) => {
  behaviour = line
  say({ event: 'behaves', as: line })
})

/** RFC 1035 §4: the question again, and one A record where it asked for that. */
function reply(question: Buffer, code: number, address?: string): Buffer {
  let end = 12
  while (question[end] !== 0) end += question[end]! + 1
  const asked = question.subarray(12, end + 5)
  const isA = question.readUInt16BE(end + 1) === typeA && address !== undefined
  const header = Buffer.from(question.subarray(0, 12))
  header.writeUInt16BE(0x8180 | code, 2)
  for (const [at, count] of [1, isA ? 1 : 0, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * at)
  const record = isA
    ? Buffer.from([0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 5, 0, 4, ...address.split('.').map(Number)])
    : Buffer.alloc(0)
  return Buffer.concat([header, asked, record])
}
