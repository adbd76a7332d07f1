import type { DoorFact, NameFact, PlainHttpFact, ProxyFact, Reached, TlsFact, UdpFact } from '#agent/doctor/facts.ts'
import { seconds, wallTime } from '#shared/time/instant.ts'
import { type Endpoint, endpointText } from '#shared/wire/endpoint.ts'
import { TRANSACTION_ID_LENGTH } from '#shared/wire/stun.ts'
import { encodeBindingRequest, readBindingAnswer } from '#shared/wire/stun-binding.ts'
import type { Dns } from '#sim/internet/dns.ts'
import { type DoorAnswer, type DoorQuestion, hear, say } from '#sim/internet/door.ts'
import type { Host, UdpSocket } from '#sim/internet/host.ts'
import { isIpv6 } from '#sim/internet/packet.ts'
import type { Pipe } from '#sim/internet/pipe.ts'
import type { Pipes } from '#sim/internet/pipes.ts'

const patience = seconds(5)
const doorPatience = seconds(10)
const stunPatience = seconds(2)
/** Small questions to each address, and the lengths of IP packets that are tried, bytes. */
const smallQuestions = 10
const packetSizes = [600, 1280, 1360, 1420, 1480]
const fleetIssuer = 'adit api'

export interface ProxySetting {
  readonly at: Endpoint
  readonly password?: string | undefined
}

interface Reply {
  reached: Reached
  /** What was said, in order of the questions. */
  answers: DoorAnswer[]
  /** The other end hung up. */
  cut?: boolean
}

/** The probes of a doctor's examination, made on the simulated internet: each takes its virtual time and returns what was seen. */
export class Examination {
  readonly #host: Host
  readonly #pipes: Pipes
  readonly #dns: Dns

  constructor(host: Host, pipes: Pipes, dns: Dns) {
    this.#host = host
    this.#pipes = pipes
    this.#dns = dns
  }

  name(host: string, known: readonly string[]): NameFact {
    const { world } = this.#host
    const from = world.now()
    let seen: { outcome: NameFact['outcome']; addresses: readonly string[] } = { outcome: 'silent', addresses: [] }
    this.#dns.resolve(host, (outcome) => {
      seen = { outcome: outcome.kind, addresses: outcome.kind === 'answered' ? outcome.addresses : [] }
    })
    world.run(patience, () => seen.outcome !== 'silent')
    return { host, ...seen, tookMs: world.now() - from, known }
  }

  udp(endpoint: Endpoint): UdpFact {
    const socket = this.#host.bind()
    const unreachable = !this.#hasWay(endpoint)
    let refused = false
    socket.onIcmp = (_to, word) => {
      refused ||= word.kind === 'port-unreachable'
    }
    let roundTripMs: number | undefined
    let answered = 0
    let mapped: Endpoint | undefined
    for (let question = 0; question < smallQuestions && !unreachable; question++) {
      const asked = this.#host.world.now()
      const seen = this.binding(socket, endpoint)
      if (seen === undefined) continue
      answered++
      mapped = seen
      roundTripMs ??= this.#host.world.now() - asked
    }
    const sizes = answered === 0 ? [] : packetSizes.map((bytes) => ({ bytes, answered: this.#passes(socket, endpoint, bytes) }))
    socket.close()
    return {
      endpoint,
      sent: unreachable ? 0 : smallQuestions,
      answered,
      refused,
      unreachable,
      ...(roundTripMs !== undefined && { roundTripMs }),
      ...(mapped && { mapped }),
      sizes,
    }
  }

  /** Where `endpoint` sees this socket. `length`: of the question, bytes. */
  binding(socket: UdpSocket, endpoint: Endpoint, length?: number): Endpoint | undefined {
    const { world } = this.#host
    const id = Uint8Array.from({ length: TRANSACTION_ID_LENGTH }, () => world.random.below(256))
    let seen: Endpoint | undefined
    socket.onDatagram = (datagram) => {
      seen ??= readBindingAnswer(datagram, id)
    }
    socket.send(encodeBindingRequest(id, length === undefined ? {} : { length }), endpoint)
    world.run(stunPatience, () => seen !== undefined)
    return seen
  }

  /** Whether one of three packets of this length is answered. */
  #passes(socket: UdpSocket, endpoint: Endpoint, bytes: number): boolean {
    const length = (bytes - (isIpv6(endpoint.address) ? 48 : 28)) & ~3
    return [1, 2, 3].some(() => this.binding(socket, endpoint, length) !== undefined)
  }

  /** How a NAT maps one socket towards several places. */
  mapping(places: readonly Endpoint[]): 'none' | 'endpoint-independent' | 'address-and-port-dependent' | 'unknown' {
    const socket = this.#host.bind()
    const seen = places.map((place) => this.binding(socket, place) ?? this.binding(socket, place))
    socket.close()
    if (seen.includes(undefined)) return 'unknown'
    if (this.#host.addresses.includes(seen[0]!.address)) return 'none'
    return new Set(seen.map((place) => endpointText(place!))).size === 1 ? 'endpoint-independent' : 'address-and-port-dependent'
  }

  /** An HTTPS door: hello, then a question under it. */
  door(host: string, endpoint: Endpoint, question: DoorQuestion, proxy?: ProxySetting): DoorFact {
    const greeting: DoorQuestion[] = [{ ask: 'hello', host }, question]
    const { reached, answers, cut = false } = this.#ask(endpoint, greeting, proxy)
    const base = { host, endpoint, reached, ...(proxy && { proxied: true }) }
    if (reached !== 'open') return base
    const [hello, status] = answers
    const tls = tlsOf(hello, cut)
    if (status?.answer !== 'status') return { ...base, tls }
    const { date } = status
    return { ...base, tls, status: status.status, ...(tls.kind === 'proven' && date !== undefined && { date: wallTime(date) }) }
  }

  plainHttp(endpoint: Endpoint): PlainHttpFact {
    const { reached, answers } = this.#ask(endpoint, [{ ask: 'get', path: '/' }])
    const [answer] = answers
    if (answer?.answer !== 'status') return { endpoint, reached }
    return { endpoint, reached, status: answer.status, ...(answer.location !== undefined && { redirectedTo: answer.location }) }
  }

  proxy({ at, password }: ProxySetting, target: Endpoint): ProxyFact {
    const question = { ask: 'connect', ...target, ...(password !== undefined && { password }) } as const
    const { reached, answers } = this.#ask(at, [question])
    const [answer] = answers
    const fact = { address: endpointText(at), from: 'https_proxy', reached }
    return answer?.answer === 'status' ? { ...fact, status: answer.status } : fact
  }

  /** What the API says under our certificate: its status and code. */
  api(endpoint: Endpoint, path: string, proxy?: ProxySetting): { status: number; code?: string } | undefined {
    const { answers } = this.#ask(
      endpoint,
      [
        { ask: 'hello', host: 'api' },
        { ask: 'get', path },
      ],
      proxy,
    )
    const said = answers[1]
    return said?.answer === 'status' ? { status: said.status, ...(said.code !== undefined && { code: said.code }) } : undefined
  }

  local(target: Endpoint): Reached {
    return this.#ask(target, []).reached
  }

  /** Each question after the answer to the one before. */
  #ask(endpoint: Endpoint, questions: readonly DoorQuestion[], proxy?: ProxySetting): Reply {
    const { world } = this.#host
    const at = proxy?.at ?? endpoint
    const pipe = this.#hasWay(at) ? this.#pipes.open(at) : undefined
    if (pipe === undefined) return { reached: 'unreachable', answers: [] }
    const connect: DoorQuestion[] = proxy
      ? [{ ask: 'connect', ...endpoint, ...(proxy.password !== undefined && { password: proxy.password }) }]
      : []
    const reply: Reply = { reached: 'silent', answers: [] }
    let over = false
    converse(pipe, [...connect, ...questions], reply, () => {
      over = true
    })
    world.run(doorPatience, () => over)
    pipe.close()
    if (proxy === undefined) return reply
    // What the proxy itself says to CONNECT is no answer of the door.
    const [first, ...answers] = reply.answers
    if (first?.answer !== 'status') return { ...reply, answers }
    return { ...reply, reached: first.status === 200 ? 'open' : 'silent', answers }
  }

  #hasWay(endpoint: Endpoint): boolean {
    return this.#host.addresses.some((own) => isIpv6(own) === isIpv6(endpoint.address))
  }
}

function converse(pipe: Pipe, questions: readonly DoorQuestion[], reply: Reply, over: () => void): void {
  let next = 0
  const go = (): void => {
    const question = questions[next++]
    if (question === undefined) over()
    else say(pipe, question)
  }
  pipe.onOpen = () => {
    reply.reached = 'open'
    go()
  }
  pipe.onEnd = (why) => {
    if (reply.reached === 'open') reply.cut = why !== 'timeout'
    else if (why === 'refused') reply.reached = 'refused'
    over()
  }
  hear<DoorAnswer>(pipe, (answer) => {
    reply.answers.push(answer)
    // A door that does not prove itself is told nothing more.
    if (answer.answer === 'hello' && answer.issuer !== fleetIssuer) over()
    else if (answer.answer === 'status' && questions[next - 1]?.ask === 'connect' && answer.status !== 200) over()
    else go()
  })
}

function tlsOf(hello: DoorAnswer | undefined, cut: boolean): TlsFact {
  if (hello === undefined) return { kind: cut ? 'no-tls' : 'stalled' }
  if (hello.answer !== 'hello') return { kind: 'no-tls' }
  if (hello.issuer !== fleetIssuer) return { kind: 'other-issuer', issuer: hello.issuer }
  return hello.unusable === undefined ? { kind: 'proven' } : { kind: 'unusable', why: hello.unusable }
}
