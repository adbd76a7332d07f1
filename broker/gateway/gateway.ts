import type { Socket } from 'node:net'
import { parseEndpointText } from '#broker/endpoint-text.ts'
import { AuthorityNews } from '#broker/gateway/authority-news.ts'
import { type EspFacts, espFacts } from '#broker/gateway/esp-facts.ts'
import { isMeeting } from '#broker/gateway/flow-policy.ts'
import { assembleGateway, type GatewayOptions, type GatewayParts, netstackLimits } from '#broker/gateway/gateway-parts.ts'
import { KernelMqtt } from '#broker/gateway/kernel-mqtt.ts'
import { type Call, recallKnown } from '#broker/gateway/known-devices.ts'
import type { PeerDrop } from '#broker/gateway/peer-drops.ts'
import { PresenceWatch } from '#broker/gateway/presence-watch.ts'
import { Reawakening } from '#broker/gateway/reawakening.ts'
import type { StreamDoor } from '#broker/gateway/stream-door.ts'
import type { GatewayCounters, GatewayView, Presence } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { RegistryChange } from '#broker/registry/registry.ts'
import type { Flow } from '#shared/dataplane/flow.ts'
import type { TcpSocket } from '#shared/netstack/netstack.ts'
import type { Timer } from '#shared/platform/timers.ts'
import { hours, seconds } from '#shared/time/instant.ts'
import type { Association, TunnelEvent } from '#shared/tunnel/association.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

/** How often what has changed is taken up and written, presence is judged and lost bindings are noticed. */
const upkeepEvery = seconds(5)

/** How often certificates and keys of the broker's own IKE are looked at. */
const renewalEvery = hours(1)

/**
 * The broker's end of every tunnel: one UDP port, one association per admitted principal, the relay between them, and MQTT at the broker's
 * inner addresses. Parts: peers.ts (who), flow-policy.ts (what), presence.ts (since when), flow-journal.ts (what is told).
 */
export class Gateway implements GatewayView {
  readonly #parts: GatewayParts
  readonly #watch: PresenceWatch
  #reawakening: Reawakening<Call> | undefined
  readonly #news: AuthorityNews
  #upkeep: Timer | undefined
  #renewal: Timer | undefined
  #handshakes = 0
  #stopListening: (() => void) | undefined
  #kernelMqtt: KernelMqtt | undefined
  #hostNetwork: { undo(): Promise<void> } | undefined

  private constructor(parts: GatewayParts) {
    this.#parts = parts
    this.#watch = new PresenceWatch({
      clock: parts.options.clock,
      timers: parts.options.timers,
      presence: (principal) => this.presence(principal),
      probe: (principal, timeoutMs) => this.probe(principal, timeoutMs),
      unanswered: (principal, asked) => parts.presence.unanswered(principal.id, asked),
    })
    const { timers, log, registry, behind = async () => new Set<number>() } = parts.options
    this.#news = new AuthorityNews({
      ...{ timers, log, behind },
      connected: () => parts.mqtt.connected,
      tell: (id) => {
        const device = registry.directory.byId(id)
        if (device) parts.mqtt.tellConfigChanged(device)
      },
    })
  }

  /** Binds the port and calls the devices that an earlier run knew. Throws AditError `port-in-use`. */
  static async open(options: GatewayOptions): Promise<Gateway> {
    const parts = await assembleGateway(options, {
      event: (event) => gateway.#event(event),
      came: (device) => gateway.#news.came(device.id),
      goodbye: (device) => parts.presence.goodbye(device.id),
      pace: (device, paceSeconds) => parts.presence.setPace(device.id, seconds(paceSeconds), parts.peers.of(device.id)),
    })
    const gateway: Gateway = new Gateway(parts)
    await gateway.#restore()
    try {
      await gateway.#listen()
    } catch (error) {
      await gateway.close()
      throw error
    }
    gateway.#stopListening = options.registry.onChange((change) => gateway.#changed(change))
    gateway.#armUpkeep()
    gateway.#armRenewal()
    void gateway.#news.review()
    return gateway
  }

  /** The kernel's interface in the tunnels, if there is one. */
  get tun(): string | undefined {
    return this.#parts.engine.lane?.tun?.name
  }

  get inner(): readonly string[] {
    return this.#parts.options.registry.fleet.broker
  }

  get listen(): string {
    return endpointText(this.#parts.engine.local)
  }

  /** Where bare IKE is taken, if anywhere. */
  get listenBare(): string | undefined {
    const bare = this.#parts.engine.localBare
    return bare && endpointText(bare)
  }

  /** Endpoints besides that answer STUN. */
  get stunEndpoints(): readonly string[] {
    return this.#parts.stunSockets.endpoints
  }

  /** Where WebSockets and TCP connections that bear datagrams are brought. */
  get streams(): StreamDoor {
    return this.#parts.streams
  }

  presence(principal: Principal): Presence {
    const { presence, peers } = this.#parts
    return presence.of(principal.id, peers.of(principal.id))
  }

  drops(principal: Principal): readonly PeerDrop[] {
    const association = this.#parts.peers.of(principal.id)
    return association === undefined ? [] : this.#parts.drops.of(association)
  }

  /** The security associations of a peer that came by the esp suite. */
  securityAssociations(principal: Principal): EspFacts | undefined {
    const { peers, ipsec, options } = this.#parts
    const association = ipsec && peers.of(principal.id)
    const esp = association && ipsec.endpoint.association(association.peerKey)
    return esp === association && esp ? espFacts(esp, options.clock) : undefined
  }

  /** Somebody looks at these: what is said of them rests on proofs from now on. */
  watch(principals: Iterable<Principal>): void {
    this.#watch.watch(principals)
  }

  async probe(principal: Principal, timeoutMs: number): Promise<boolean> {
    const { options, peers, netstack } = this.#parts
    const address = principal.addresses[0]
    const association = peers.of(principal.id)
    if (address === undefined || association === undefined) return false
    const asked = options.clock.now()
    const answered = await netstack.ping(address, { timeoutMs })
    // A peer that lets no echo through may still have shown itself by a handshake.
    return answered !== undefined || (association.lastAuthentic ?? 0) > asked
  }

  lastTimestamp(tunnelKeyHex: string): Uint8Array | undefined {
    return this.#parts.taken.of(tunnelKeyHex)
  }

  counters(): GatewayCounters {
    const { engine, peers, ipsec, mqtt, stun, sink, streams } = this.#parts
    const { plane, lane } = engine
    const sessions = { noise: 0, esp: 0 }
    for (const [, { state, suite }] of peers.entries()) if (state === 'established') sessions[suite]++
    return {
      sessions: sessions.noise + sessions.esp,
      espSessions: sessions.esp,
      halfOpen: ipsec?.endpoint.sizes.halfOpen ?? 0,
      failedNegotiations: ipsec?.failures ?? 0,
      associations: peers.size,
      flows: plane.filter.size,
      mqttClients: mqtt.clients,
      outerReceived: plane.traffic.received + (lane ? lane.traffic.received - lane.traffic.raised : 0),
      outerSent: plane.traffic.sent + plane.traffic.relayed + (lane?.traffic.sent ?? 0),
      stunAnswered: stun.answered,
      streams: streams.counters.open,
      handshakes: this.#handshakes,
      readings: sink.counters.readings,
      duplicateReadings: sink.counters.duplicates,
      drops: this.#drops(),
    }
  }

  #drops(): Record<string, number> {
    const { engine, endpoints } = this.#parts
    const drops: Record<string, number> = {}
    for (const { counters } of [engine.plane, ...endpoints, ...(engine.lane ? [engine.lane] : [])])
      for (const [label, count] of counters.entries()) if (count > 0) drops[label] = (drops[label] ?? 0) + count
    for (const [label, count] of this.#refusals()) if (count > 0) drops[label] = count
    return drops
  }

  /** What was refused above the packets, by labels of the same kind. */
  #refusals(): [label: string, count: number][] {
    const { options, mqtt, stun, sink, journal, streams } = this.#parts
    const { oversized, refusedConnects, refusedPublishes, refusedSubscribes } = mqtt.counters
    return [
      ['stun-refused', stun.refused],
      ['stream-refused', streams.counters.refused],
      ['stream-unfounded', streams.counters.unfounded],
      ['stream-dropped', streams.counters.dropped],
      ['mqtt-oversized', oversized],
      ['mqtt-connect-refused', refusedConnects],
      ['mqtt-publish-refused', refusedPublishes],
      ['mqtt-subscribe-refused', refusedSubscribes],
      ['telemetry-quarantined', sink.counters.quarantined],
      ['audit-suppressed', journal.suppressed],
      ['negotiations-suppressed', options.registry.negotiations.suppressed],
    ]
  }

  /** No new work; what is under way is written. */
  async drain(): Promise<void> {
    const { options, engine, evidence, writer, mqtt, ipsec, journal } = this.#parts
    this.#stopListening?.()
    this.#reawakening?.stop()
    this.#news.stop()
    this.#upkeep?.clear()
    this.#renewal?.clear()
    this.#watch.stop()
    writer.stop()
    this.#parts.courier?.close()
    await mqtt.close()
    ipsec?.stop()
    ipsec?.redirect()
    engine.plane.filter.revoke(() => true)
    journal.flush(options.clock.now(), true)
    options.registry.dataUse.count(evidence.take())
    await Promise.all([writer.sweep(), options.registry.dataUse.flush()])
  }

  async close(): Promise<void> {
    this.#kernelMqtt?.close()
    await this.#hostNetwork?.undo()
    this.#parts.netstack.destroy()
    this.#parts.streams.close()
    await this.#parts.stunSockets.close()
    await this.#parts.engine.close()
  }

  async #restore(): Promise<void> {
    const { options, engine, peers, presence, evidence, noise, ipsec, taken } = this.#parts
    const { registry, clock } = options
    const records = await registry.presence.loadEndpoints()
    presence.restore(records)
    for (const { principalId, endpoint: text } of records) {
      const endpoint = parseEndpointText(text)
      if (endpoint) evidence.place(principalId, endpoint)
    }
    ipsec?.restore(records)
    const known = { directory: registry.directory, clock, peers, noise, esp: ipsec?.endpoint, taken }
    this.#reawakening = new Reawakening<Call>(recallKnown(records, known), options, (call) => {
      const isNeeded = call()
      if (isNeeded) engine.kick()
      return isNeeded
    })
  }

  #event(event: TunnelEvent): void {
    const { association } = event
    const { options, taken, peers, evidence, noise, ipsec, writer, streams } = this.#parts
    if (event.kind === 'established' || event.kind === 'roamed') {
      // Whatever made it so was authentic.
      if (association.endpoint) {
        streams.proven(association.endpoint)
        const owner = options.registry.directory.byPeerKey(association.peerKey)
        if (owner) evidence.place(owner.id, association.endpoint)
      }
    }
    if (event.kind === 'timestamp') {
      const timestamp = noise.association(association.peerKey)?.lastTimestamp
      if (timestamp) taken.took(association.peerKey, timestamp)
    } else if (event.kind === 'established') {
      this.#handshakes++
      if (peers.attach(association) && association.suite === 'esp') ipsec?.established(association)
    } else if (event.kind === 'lapsed') this.#lapsed(association)
    else if (event.kind !== 'roamed') return
    writer.touched(association)
  }

  /** A peer of the esp suite that closes its association is gone. */
  #lapsed(association: Association): void {
    const { options, peers, ipsec, presence } = this.#parts
    const owner = options.registry.directory.byPeerKey(association.peerKey)
    if (owner && peers.of(owner.id) === association && ipsec?.hasLeft(association)) presence.goodbye(owner.id)
  }

  /** MQTT at the inner addresses: the kernel's, where it has them. */
  async #listen(): Promise<void> {
    const { options, netstack } = this.#parts
    const { mqttPort, log } = options
    if (this.tun === undefined) {
      const accept = (socket: TcpSocket): void => this.#acceptMqtt(socket, socket.remoteAddress, () => socket.reset())
      netstack.listen({ port: mqttPort, backlog: netstackLimits.backlog }, accept)
      return
    }
    this.#hostNetwork = await options.hostNetwork?.(this.tun)
    const accept = (socket: Socket): void =>
      this.#acceptMqtt(socket, socket.remoteAddress ?? '', () => void socket.resetAndDestroy())
    this.#kernelMqtt = await KernelMqtt.listen(this.inner, mqttPort, accept, log)
  }

  #acceptMqtt(socket: TcpSocket | Socket, from: string, refuse: () => void): void {
    const { options, mqtt } = this.#parts
    const { directory } = options.registry
    const device = directory.byAddress(from)
    if (device?.kind !== 'device' || !directory.isAdmitted(device, options.clock.wall())) return void refuse()
    socket.setNoDelay(true)
    mqtt.accept(device, socket)
  }

  #changed(change: RegistryChange): void {
    this.#parts.courier?.changed(change)
    if (change.kind === 'grants') this.#dropForbiddenFlows()
    if (change.kind === 'ask') this.#parts.mqtt.tellConfigChanged(change.asked)
    if (!('principal' in change)) return
    const { peers, mqtt, presence, engine, ipsec, withdrawals } = this.#parts
    const { principal } = change
    const association = peers.of(principal.id)
    if (association && ipsec?.isRevoked(association)) peers.drop(principal.id)
    if (principal.ipsec) ipsec?.reload()
    if (principal.subnets.length > 0) ipsec?.renegotiate()
    if (peers.refresh(principal) !== 'kept') mqtt.cut(principal.id)
    if (change.kind === 'revoked') {
      presence.forget(principal.id)
      withdrawals.tell(principal)
    }
    // Tags and groups decide what grants mean.
    if (change.kind === 'changed') {
      this.#dropForbiddenFlows()
      mqtt.tellConfigChanged(principal)
    }
    engine.kick()
  }

  /** The fleet's authorities have changed: agents are told where they have to renew, or to trust another root. */
  authoritiesChanged(): void {
    this.#parts.ipsec?.reload()
    void this.#news.review()
  }

  #dropForbiddenFlows(): void {
    const { engine, policy, withdrawals, options } = this.#parts
    const over: Flow[] = []
    const isOver = (flow: Flow): boolean => {
      const isForbidden = !policy.stillPermits(flow)
      if (isForbidden && isMeeting(flow)) over.push(flow)
      return isForbidden
    }
    engine.plane.revoke(isOver, options.clock.now())
    // Behind what was sealed end to end lie streams that only their own ends can reset.
    for (const flow of over) withdrawals.part(flow)
  }

  #armUpkeep(): void {
    const { options, journal, writer, evidence } = this.#parts
    this.#upkeep = options.timers.setTimer(upkeepEvery, () => {
      options.registry.dataUse.count(evidence.take())
      this.#dropExpired()
      journal.flush(options.clock.now())
      this.#armUpkeep()
      void writer.sweep()
    })
  }

  #armRenewal(): void {
    const { options, ipsec } = this.#parts
    if (ipsec === undefined) return
    this.#renewal = options.timers.setTimer(renewalEvery, () => {
      this.#armRenewal()
      void ipsec.refresh()
    })
  }

  /** A certificate or registration that has ended takes its tunnel with it. */
  #dropExpired(): void {
    const { options, peers, mqtt } = this.#parts
    const { directory } = options.registry
    const wall = options.clock.wall()
    for (const [id] of [...peers.entries()]) {
      const principal = directory.byId(id)
      if (principal !== undefined && directory.isAdmitted(principal, wall)) continue
      peers.drop(id)
      mqtt.cut(id)
    }
  }
}
