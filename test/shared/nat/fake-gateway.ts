import type { PortMapping, PortMappingOutput } from '#shared/nat/port-mapping.ts'
import { instant } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { decodeNatPmpRequest, encodeNatPmpResponse } from '#shared/wire/nat-pmp.ts'
import { decodePcpRequest, encodePcpResponse, PCP_SERVER_PORT } from '#shared/wire/pcp.ts'

/** What a gateway does with a question. */
export interface GatewayManners {
  pcp: 'grants' | 'silent' | 'unsupported' | number
  natPmp: 'grants' | 'silent' | number
  /** Seconds. */
  lifetime: number
  external: Endpoint
}

/** A gateway at 192.168.7.1 that speaks PCP and NAT-PMP as it is told to, for tests of the errors that a real one will not show. */
export class FakeGateway {
  static readonly address = '192.168.7.1'
  readonly manners: GatewayManners
  /** Internal port to the nonce (hex) that made it; NAT-PMP's is empty. */
  readonly mappings = new Map<number, string>()
  /** When it last forgot everything, ms. */
  bornAt = 0

  constructor(manners: Partial<GatewayManners> = {}) {
    this.manners = {
      pcp: 'grants',
      natPmp: 'silent',
      lifetime: 7_200,
      external: { address: '203.0.113.2', port: 40_000 },
      ...manners,
    }
  }

  forget(now: number): void {
    this.mappings.clear()
    this.bornAt = now
  }

  announcement(now: number): Uint8Array {
    return encodePcpResponse({ opcode: 'announce', result: 0, lifetime: 0, epoch: this.#epoch(now) })
  }

  answer(request: Uint8Array, now: number): Uint8Array | undefined {
    return request[0] === 0 ? this.#natPmp(request, now) : this.#pcp(request, now)
  }

  #pcp(request: Uint8Array, now: number): Uint8Array | undefined {
    const { pcp, external, lifetime } = this.manners
    const epoch = this.#epoch(now)
    if (pcp === 'silent') return undefined
    // As RFC 6886 §3.5 has gateways answer a version that they do not know.
    if (pcp === 'unsupported') return encodeNatPmpResponse({ kind: 'refused', asked: 'other', result: 1, epoch })
    const { map, lifetime: asked } = decodePcpRequest(request)
    if (map === undefined) return undefined
    if (typeof pcp === 'number') return encodePcpResponse({ opcode: 'map', result: pcp, lifetime: 600, epoch, map })
    const nonce = Buffer.from(map.nonce).toString('hex')
    const owner = this.mappings.get(map.internalPort)
    if (owner !== undefined && owner !== nonce) return encodePcpResponse({ opcode: 'map', result: 2, lifetime: 60, epoch, map })
    if (asked === 0) this.mappings.delete(map.internalPort)
    else this.mappings.set(map.internalPort, nonce)
    const given = Math.min(asked, lifetime)
    return encodePcpResponse({ opcode: 'map', result: 0, lifetime: given, epoch, map: { ...map, external } })
  }

  #natPmp(request: Uint8Array, now: number): Uint8Array | undefined {
    const { natPmp, external, lifetime } = this.manners
    const epoch = this.#epoch(now)
    if (natPmp === 'silent') return undefined
    const asked = decodeNatPmpRequest(request)
    if (typeof natPmp === 'number') return encodeNatPmpResponse({ kind: 'refused', asked: asked.kind, result: natPmp, epoch })
    if (asked.kind === 'address') return encodeNatPmpResponse({ kind: 'address', address: external.address, epoch })
    const { internalPort } = asked
    if (asked.lifetime === 0) this.mappings.delete(internalPort)
    else this.mappings.set(internalPort, '')
    const given = Math.min(asked.lifetime, lifetime)
    const externalPort = given === 0 ? 0 : external.port
    return encodeNatPmpResponse({ kind: 'map', internalPort, externalPort, lifetime: given, epoch })
  }

  #epoch(now: number): number {
    return Math.floor((now - this.bornAt) / 1_000)
  }
}

/** A port mapping and its gateway in virtual time. */
export class MappingWorld {
  readonly machine: PortMapping
  readonly gateway: FakeGateway
  readonly said: { at: number; output: PortMappingOutput }[] = []
  /** Datagrams that went out, by their first byte: the version. */
  readonly sent: { at: number; version: number; datagram: Uint8Array }[] = []
  now = 0

  constructor(gateway: FakeGateway, machine: PortMapping) {
    this.gateway = gateway
    this.machine = machine
    this.#drain()
  }

  externals(): (string | undefined)[] {
    return this.said.flatMap(({ output }) =>
      output.kind === 'external' ? [output.external && `${output.external.address}:${output.external.port}`] : [],
    )
  }

  run(until: number): void {
    for (let due = this.machine.deadline(); due !== undefined && due.at <= until; due = this.machine.deadline()) {
      this.now = Math.max(this.now, due.at)
      this.machine.handle({ kind: 'time' }, instant(this.now))
      this.#drain()
    }
    this.now = until
  }

  hear(datagram: Uint8Array, from: Endpoint = { address: FakeGateway.address, port: PCP_SERVER_PORT }): void {
    this.machine.handle({ kind: 'datagram', datagram, from }, instant(this.now))
    this.#drain()
  }

  tell(input: { kind: 'stop' } | { kind: 'internal-port'; port: number }): void {
    this.machine.handle(input, instant(this.now))
    this.#drain()
  }

  #drain(): void {
    for (let output = this.machine.poll(); output !== undefined; output = this.machine.poll()) {
      if (output.kind !== 'send') {
        this.said.push({ at: this.now, output })
        continue
      }
      this.sent.push({ at: this.now, version: output.datagram[0]!, datagram: output.datagram })
      const answer = this.gateway.answer(output.datagram, this.now)
      if (answer) this.machine.handle({ kind: 'datagram', datagram: answer, from: output.to }, instant(this.now))
    }
  }
}
