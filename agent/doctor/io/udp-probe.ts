import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import type { UdpFact } from '#agent/doctor/facts.ts'
import { toHex } from '#shared/bytes/hex.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { encodeBindingRequest, readBindingResponse } from '#shared/wire/stun-binding.ts'

/** Small questions, and how far apart, ms. */
const questions = 10
const spacingMs = 100
/** For the last answer, and for the first where there is none: a satellite's round trip, ms. */
const lastAnswerMs = 700
const firstAnswerMs = 2_500
/** Lengths of IP packets, bytes: what IPv6 needs, what a whole inner packet needs, Ethernet; and what to look for below. */
const sizes = [1_280, 1_360, 1_500]
const smallerSizes = [576, 1_000, 1_200]
const tries = 3
const headers = { IPv4: 28, IPv6: 48 }
const refusals = new Set(['ECONNREFUSED'])
const ownRefusals = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'])

/** Asks one address by STUN from a socket of its own: what comes back, how fast, how large, and as whom we are seen. */
export async function probeUdp(endpoint: Endpoint): Promise<UdpFact> {
  const isV6 = endpoint.address.includes(':')
  const probe = new Probe(createSocket({ type: isV6 ? 'udp6' : 'udp4' }))
  try {
    if (!(await probe.connect(endpoint))) return probe.fact(endpoint, [])
    for (let n = 0; n < questions; n++) {
      probe.ask(0)
      await wait(spacingMs)
    }
    await probe.settled(0, firstAnswerMs)
    if (!probe.hasAnswered(0)) return probe.fact(endpoint, [])
    const header = isV6 ? headers.IPv6 : headers.IPv4
    await askSizes(probe, sizes, header)
    const asked = probe.hasAnswered(sizes[0]! - header) ? sizes : [...smallerSizes, ...sizes]
    if (asked !== sizes) await askSizes(probe, smallerSizes, header)
    return probe.fact(
      endpoint,
      asked.map((bytes) => ({ bytes, answered: probe.hasAnswered(bytes - header) })),
    )
  } finally {
    probe.close()
  }
}

async function askSizes(probe: Probe, bytes: readonly number[], header: number): Promise<void> {
  for (let n = 0; n < tries; n++) {
    for (const size of bytes) if (!probe.hasAnswered(size - header)) probe.ask(size - header)
    await wait(spacingMs)
  }
  await wait(lastAnswerMs)
}

/** The questions that are under way on one connected socket. A length of 0 is the small question. */
class Probe {
  readonly #socket: Socket
  readonly #asked = new Map<string, { length: number; at: number }>()
  readonly #answered = new Map<number, number>()
  #sent = 0
  #refused = false
  #unreachable = false
  #roundTripMs: number | undefined
  #mapped: Endpoint | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (datagram) => this.#received(datagram))
    socket.on('error', (error: NodeJS.ErrnoException) => this.#failed(error))
  }

  connect({ address, port }: Endpoint): Promise<boolean> {
    return new Promise((resolve) => {
      const failed = (error: NodeJS.ErrnoException): void => {
        this.#failed(error)
        resolve(false)
      }
      this.#socket.once('error', failed)
      // A refusal comes here, whatever the types say.
      this.#socket.connect(port, address, (error?: NodeJS.ErrnoException) => {
        this.#socket.off('error', failed)
        if (error) failed(error)
        else resolve(true)
      })
    })
  }

  ask(length: number): void {
    const id = randomBytes(12)
    this.#asked.set(toHex(id), { length, at: performance.now() })
    const request = encodeBindingRequest(id, length === 0 ? {} : { length })
    if (length === 0) this.#sent++
    this.#socket.send(request, (error) => {
      if (error) this.#failed(error)
    })
  }

  hasAnswered(length: number): boolean {
    return (this.#answered.get(length) ?? 0) > 0
  }

  /** Waits until every question of that length is answered or time is over: less of it where some came. */
  async settled(length: number, patienceMs: number): Promise<void> {
    for (let waited = 0; waited < patienceMs; waited += spacingMs) {
      if ((this.#answered.get(length) ?? 0) >= this.#sent) return
      if (this.#refused || this.#unreachable) return
      if (this.hasAnswered(length) && waited >= lastAnswerMs) return
      await wait(spacingMs)
    }
  }

  fact(endpoint: Endpoint, asked: UdpFact['sizes']): UdpFact {
    return {
      endpoint,
      sent: this.#sent,
      answered: this.#answered.get(0) ?? 0,
      refused: this.#refused,
      unreachable: this.#unreachable && !this.hasAnswered(0),
      sizes: asked,
      ...(this.#roundTripMs !== undefined && { roundTripMs: this.#roundTripMs }),
      ...(this.#mapped && { mapped: this.#mapped }),
    }
  }

  close(): void {
    this.#socket.close()
  }

  #received(datagram: Uint8Array): void {
    const id = datagram.subarray(8, 20)
    const question = this.#asked.get(toHex(id))
    const answer = question && readBindingResponse(datagram, id)
    if (question === undefined || answer === undefined) return
    this.#asked.delete(toHex(id))
    this.#answered.set(question.length, (this.#answered.get(question.length) ?? 0) + 1)
    const took = performance.now() - question.at
    this.#roundTripMs = Math.min(took, this.#roundTripMs ?? took)
    if ('mapped' in answer && answer.mapped) this.#mapped = answer.mapped
  }

  /** A large packet that the system itself will not send is one that does not pass, and no more. */
  #failed({ code = '' }: NodeJS.ErrnoException): void {
    if (refusals.has(code)) this.#refused = true
    else if (ownRefusals.has(code)) this.#unreachable = true
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
