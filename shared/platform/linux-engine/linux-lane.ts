import { opensslCrypto } from '#shared/crypto/openssl-ffi/openssl-crypto.ts'
import { virtioNetHeader } from '#shared/dataplane/batch/virtio-net-header.ts'
import type { Flow } from '#shared/dataplane/flow.ts'
import type { FlowOffload } from '#shared/dataplane/flow-offload.ts'
import { dropEntries } from '#shared/drop-reason.ts'
import type { Log } from '#shared/platform/log.ts'
import type { Timer, Timers } from '#shared/platform/timers.ts'
import { type Clock, seconds } from '#shared/time/instant.ts'
import type { Endpoint } from '#shared/wire/endpoint.ts'
import { EventFd } from './event-fd.ts'
import { forbiddenCalls } from './forbidden-calls.ts'
import { SESSION_SCRATCH } from './held-session.ts'
import { KEY_BLOCK } from './key-block.ts'
import { type BoardSize, LaneBoard, Traffic } from './lane-board.ts'
import { LaneClient, type LaneEvents } from './lane-client.ts'
import { LaneFlowOffload } from './lane-flow-offload.ts'
import { LaneKeys } from './lane-keys.ts'
import { LaneShortcuts } from './lane-shortcuts.ts'
import { spawnLane } from './lane-thread.ts'
import { Libc } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import { monotonicMs } from './monotonic.ts'
import { isRefusal, loadNative, type Native, type NativeRefusal } from './native.ts'
import { giveBackStartMemory } from './start-memory.ts'
import { TunDevice } from './tun-device.ts'
import type { UdpPort, UdpPortOptions } from './udp-port.ts'
import { bindPorts } from './udp-ports.ts'

export interface LinuxLaneOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly log: Log
  readonly bind: UdpPortOptions
  /** The name of a TUN interface to make; undefined: none. */
  readonly tun?: string | undefined
  readonly size?: Omit<BoardSize, 'lanes'>
  /** Threads among which sessions are divided, 1 to 16. Default 1. */
  readonly lanes?: number | undefined
}

/** The thread has long let go of a former port by then. */
const LEAVE_AFTER = seconds(1)

/** Whatever starts beside an engine has started by then. */
const START_TAKES = seconds(10)

const defaultSize: Omit<BoardSize, 'lanes'> = { sessions: 1_024, flows: 4_096 }

/** Longest packet that goes into the TUN from the main thread, and what the main thread needs besides. Bytes. */
const LONGEST_PACKET = 2_048
const MAIN_MEMORY = 128 << 10
/** Buffers of the lane: 16 of 64 KB in, 8 out, a super-packet each way. */
const LANE_MEMORY = 3 << 20

/**
 * The fast road of Linux (DESIGN D9): the UDP port and the TUN of an engine, whose packets a thread of its own moves, or several of which each
 * has sockets and a queue of its own. The main thread sends by the first one's descriptors, and is asked about everything that they do not know.
 */
export class LinuxLane {
  /** To whom endpoints hand their sessions. */
  readonly sessions: LaneClient
  readonly tun: TunDevice | undefined
  readonly #options: LinuxLaneOptions
  readonly #libc: Libc
  readonly #memory: NativeMemory
  readonly #board: LaneBoard
  readonly #wakes: readonly EventFd[]
  readonly #packetAt: number
  /** Of each lane; as many for as long as this lives. */
  #ports: readonly UdpPort[]
  #shortcuts: LaneShortcuts | undefined
  #afterStart: Timer | undefined

  private constructor(
    options: LinuxLaneOptions,
    libc: Libc,
    memory: NativeMemory,
    board: LaneBoard,
    ports: readonly UdpPort[],
    tun: TunDevice | undefined,
  ) {
    const { clock, timers, log } = options
    this.#options = options
    this.#libc = libc
    this.#memory = memory
    this.#board = board
    this.#ports = ports
    this.tun = tun
    this.#wakes = ports.map(() => new EventFd(libc, memory))
    this.#packetAt = memory.allocate(LONGEST_PACKET)
    const epoch = monotonicMs() - clock.now()
    const starts = ports.map(({ descriptors }, lane) => ({
      ...{ lane, epoch },
      board: board.buffer,
      size: board.size,
      udp4: descriptors.v4,
      udp6: descriptors.v6,
      tun: tun?.descriptors[lane] ?? -1,
      tunUdp: tun?.offloads.udp ?? false,
      wake: this.#wakes[lane]!.descriptor,
    }))
    const laneMemory = LANE_MEMORY + board.size.sessions * SESSION_SCRATCH
    this.sessions = new LaneClient({
      board,
      keys: new LaneKeys(memory),
      clock,
      timers,
      log,
      starts,
      spawn: (start, take, failed) => spawnLane(start, laneMemory, this.#wakes[start.lane]!, take, failed),
    })
  }

  /** A refusal where this machine cannot; throws AditError as a portable port does (`port-in-use`). */
  static async open(options: LinuxLaneOptions): Promise<LinuxLane | NativeRefusal> {
    const native = await loadNative()
    if (isRefusal(native)) return native
    const size = options.size ?? defaultSize
    const memory = native.memory(MAIN_MEMORY + size.sessions * KEY_BLOCK.length)
    const trial = opensslCrypto(native, native.memory(64 << 10))
    if (isRefusal(trial)) return trial
    const libc = new Libc(native)
    const forbidden = forbiddenCalls(libc)
    if (forbidden !== undefined) return forbidden
    const { lanes = 1, log } = options
    const ports = bindPorts(libc, memory, options.bind, lanes)
    if (ports.length < lanes)
      log.warn(
        { code: 'one-lane' },
        'This kernel steers no datagrams among sockets (Linux 4.5 does): one thread moves all packets.',
      )
    const tun = options.tun === undefined ? undefined : TunDevice.open(libc, memory, { name: options.tun, queues: ports.length })
    if (tun !== undefined && isRefusal(tun)) {
      closeAll(ports)
      return tun
    }
    try {
      const board = new LaneBoard({ ...size, lanes: ports.length })
      const lane = new LinuxLane(options, libc, memory, board, ports, tun)
      const fault = await lane.sessions.prove()
      if (fault === undefined) {
        lane.#leaveStart(native)
        return lane
      }
      await lane.close()
      return noThread(fault)
    } catch (error) {
      closeAll(ports)
      tun?.close()
      throw error
    }
  }

  get local(): Endpoint {
    return this.#ports[0]!.local
  }

  /** What the lane has dropped. */
  get counters(): { entries(): Iterable<[label: string, count: number]> } {
    return { entries: () => dropEntries((reason) => this.#board.dropsOf(reason)) }
  }

  /** Whole numbers since the start; `raised` of the received are counted by the main thread too. */
  get traffic(): Record<keyof typeof Traffic, number> {
    const board = this.#board
    return {
      received: board.trafficOf(Traffic.received),
      sent: board.trafficOf(Traffic.sent),
      relayed: board.trafficOf(Traffic.relayed),
      delivered: board.trafficOf(Traffic.delivered),
      raised: board.trafficOf(Traffic.raised),
    }
  }

  /** Takes flows of a filter. `isKernels`: whether a flow with one end at this host ends in the kernel, behind the TUN. */
  offload(isKernels: (flow: Flow) => boolean): FlowOffload {
    return new LaneFlowOffload({
      board: this.#board,
      pass: (flows) => this.sessions.pass(flows),
      forget: (slot) => this.sessions.forget(slot),
      laneOf: (association) => this.sessions.laneOf(association),
      isKernels: (flow) => this.tun !== undefined && isKernels(flow),
    })
  }

  /** Takes directions of flows of an agent. */
  shortcuts(): LaneShortcuts {
    const { clock, timers } = this.#options
    this.#shortcuts ??= new LaneShortcuts({
      ...{ board: this.#board, clock, timers },
      pass: (flows) => this.sessions.pass(flows),
      forget: (slot) => this.sessions.forget(slot),
      laneOf: (association) => this.sessions.laneOf(association),
    })
    return this.#shortcuts
  }

  /** A new port, where the old one may be remembered badly on the way. What is under way to that one is lost. Throws as `open` does. */
  rebind(): void {
    const former = this.#ports
    this.#ports = bindPorts(this.#libc, this.#memory, { ...this.#options.bind, port: 0 }, former.length)
    this.sessions.setSockets(this.#ports.map(({ descriptors }) => descriptors))
    this.#options.timers.setTimer(LEAVE_AFTER, () => closeAll(former))
  }

  /** The thread begins. */
  start(events: LaneEvents): void {
    this.sessions.begin(events)
  }

  /** A datagram of the main thread; false where the system refused it. */
  send(datagram: Uint8Array, to: Endpoint): boolean {
    return this.#ports[0]!.sendTo(datagram, to)
  }

  /** A packet for the kernel; false where it takes none. */
  toTun(packet: Uint8Array): boolean {
    if (this.tun === undefined || packet.length + virtioNetHeader > LONGEST_PACKET) return false
    const { bytes } = this.#memory
    bytes.fill(0, this.#packetAt, this.#packetAt + virtioNetHeader)
    bytes.set(packet, this.#packetAt + virtioNetHeader)
    const length = packet.length + virtioNetHeader
    return this.#libc.write(this.tun.descriptor, this.#memory.address(this.#packetAt, length), length) === length
  }

  async close(): Promise<void> {
    this.#afterStart?.clear()
    this.#shortcuts?.close()
    await this.sessions.close()
    closeAll(this.#ports)
    this.tun?.close()
    closeAll(this.#wakes)
  }

  #leaveStart(native: Native): void {
    const { timers, log } = this.#options
    this.#afterStart = timers.setTimer(START_TAKES, () => {
      try {
        giveBackStartMemory(native)
      } catch (reason) {
        // Not every libc has all of it, and not every sandbox shows a process its own mappings.
        log.debug({ reason }, 'what only the start has needed stays in memory')
      }
    })
  }
}

function closeAll(some: readonly { close(): void }[]): void {
  for (const one of some) one.close()
}

const noThread = (fault: unknown): NativeRefusal => ({
  code: 'no-thread',
  message: `The thread of the fast engine does not begin (${fault instanceof Error ? fault.message : String(fault)}).`,
  mend: 'Install the program anew, whole.',
})
