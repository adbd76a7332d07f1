/**
 * A name server of a few lines, to be run inside a namespace (port 53 of ADDRESS). It is told how to behave by lines on standard input:
 * `truth ADDR`, `lie ADDR` (both answer A with ADDR), `nxdomain`, `silent`, `slow MS ADDR`, `ipv4only ADDR ADDR` (a DNS64: AAAA of ipv4only.arpa,
 * and nothing else). Says `{"event":"ready"}` and each behaviour back.
 */
import { createSocket } from 'node:dgram'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'

const say = (event: object): void => void process.stdout.write(`${JSON.stringify(event)}\n`)
const typeA = 1
const typeAaaa = 28
/** As a question has it: the length of each label before it. */
const ipv4Only = '\x08ipv4only\x04arpa\x00'
const nameError = 3

let behaviour = 'silent'
const socket = createSocket(process.argv[2]!.includes(':') ? 'udp6' : 'udp4')
socket.on('message', async (question, from) => {
  const [kind, ...words] = behaviour.split(' ')
  if (kind === 'silent') return
  if (kind === 'slow') await wait(Number(words.shift()))
  const answer =
    kind === 'nxdomain' ? reply(question, nameError) : kind === 'ipv4only' ? dns64(question, words) : reply(question, 0, words[0])
  socket.send(answer, from.port, from.address)
})
socket.bind(53, process.argv[2], () => say({ event: 'ready' }))
createInterface({ input: process.stdin }).on('line', (line) => {
  behaviour = line
  say({ event: 'behaves', as: line })
})

/** RFC 1035 §4: the question again, and one A record where it asked for that. */
function reply(question: Buffer, code: number, address?: string): Buffer {
  const isA = typeOf(question) === typeA && address !== undefined
  return answerOf(question, code, isA ? [record(typeA, address.split('.').map(Number))] : [])
}

/** What a DNS64 makes of ipv4only.arpa; of every other name it knows nothing. */
function dns64(question: Buffer, addresses: readonly string[]): Buffer {
  const isIpv4Only = question.toString('latin1', 12, endOf(question)).toLowerCase() === ipv4Only
  if (!isIpv4Only) return answerOf(question, nameError, [])
  return answerOf(
    question,
    0,
    typeOf(question) === typeAaaa ? addresses.map((address) => record(typeAaaa, bytesOf(address))) : [],
  )
}

function answerOf(question: Buffer, code: number, records: readonly Buffer[]): Buffer {
  const header = Buffer.from(question.subarray(0, 12))
  header.writeUInt16BE(0x8180 | code, 2)
  for (const [at, count] of [1, records.length, 0, 0].entries()) header.writeUInt16BE(count, 4 + 2 * at)
  return Buffer.concat([header, question.subarray(12, endOf(question) + 4), ...records])
}

const record = (type: number, address: readonly number[]): Buffer =>
  Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 5, 0, address.length, ...address])

/** Where the question's name has ended. */
function endOf(question: Buffer): number {
  let end = 12
  while (question[end] !== 0) end += question[end]! + 1
  return end + 1
}

const typeOf = (question: Buffer): number => question.readUInt16BE(endOf(question))

/** Of an IPv6 address with one `::`. */
function bytesOf(address: string): number[] {
  const [left, right] = address.split('::').map((half) => half.split(':').map((group) => Number.parseInt(group, 16)))
  const groups = [...left!, ...new Array<number>(8 - left!.length - right!.length).fill(0), ...right!]
  return groups.flatMap((group) => [group >> 8, group & 0xff])
}
