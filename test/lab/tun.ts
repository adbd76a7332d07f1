/**
 * A TUN interface of Linux, opened through koffi (struct ifreq and the ioctl number as in linux/if_tun.h, x64 and arm64). Packets are read without
 * waiting, in batches; when there is none, poll(2) waits in a thread of koffi's, so that the test's own event loop stays free.
 */
import koffi from 'koffi'

const libc = koffi.load(null)
const sysOpen = libc.func('int open(const char *path, int flags)')
// Addresses go as numbers: the memory is ours for as long as the Tun lives, and no conversion may copy it meanwhile.
const sysIoctl = libc.func('int ioctl(int fd, uint64_t request, uint64_t argument)')
const sysRead = libc.func('int64_t read(int fd, uint64_t buffer, uint64_t size)')
const sysWrite = libc.func('int64_t write(int fd, uint64_t buffer, uint64_t size)')
const sysPoll = libc.func('int poll(uint64_t fds, uint64_t count, int timeout)')
const sysClose = libc.func('int close(int fd)')

const O_RDWR = 2
const O_NONBLOCK = 0x800
const TUNSETIFF = 0x4004_54ca
const IFF_TUN = 1
const IFF_NO_PI = 0x1000
const POLLIN = 1

/** Packets handled before other work of the event loop gets its turn. */
const BATCH = 64

/** Turns of the event loop that look again before a thread waits: the kernel often answers within the write that asked. */
const TURNS = 20

/** How long poll waits at most, ms: closing takes so long. */
const POLL_TIMEOUT = 50

/** Memory that stays where it is, and its address. No Buffer: whoever keeps a packet takes its `slice`, which must be a copy. */
class Fixed {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly address: bigint

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.view = new DataView(this.bytes.buffer)
    this.address = BigInt(koffi.address(this.bytes))
  }
}

export class Tun {
  readonly name: string
  readonly #fd: number
  readonly #incoming = new Fixed(65_536)
  readonly #outgoing = new Fixed(65_536)
  readonly #polled = new Fixed(8)
  readonly #onPacket: (packet: Uint8Array) => void
  #closed = false
  #waiting = false
  #emptyTurns = 0

  /** Makes the interface, which vanishes with `close`. `onPacket` gets packets that the kernel sends, borrowed for the call. */
  constructor(name: string, onPacket: (packet: Uint8Array) => void) {
    this.name = name
    this.#onPacket = onPacket
    this.#fd = sysOpen('/dev/net/tun', O_RDWR | O_NONBLOCK)
    if (this.#fd < 0) throw new Error('cannot open /dev/net/tun')
    const request = new Fixed(40)
    request.bytes.set(Buffer.from(name.slice(0, 15), 'latin1'))
    request.view.setUint16(16, IFF_TUN | IFF_NO_PI, true)
    this.#polled.view.setInt32(0, this.#fd, true)
    this.#polled.view.setInt16(4, POLLIN, true)
    if (sysIoctl(this.#fd, TUNSETIFF, request.address) < 0) throw new Error(`cannot make TUN ${name}`)
  }

  /** Begins to read; to be called when the interface is up. */
  start(): void {
    this.#drain()
  }

  /** Gives the kernel a packet; false where it takes none. */
  write(packet: Uint8Array): boolean {
    if (this.#closed) return false
    this.#outgoing.bytes.set(packet)
    return Number(sysWrite(this.#fd, this.#outgoing.address, packet.length)) === packet.length
  }

  async close(): Promise<void> {
    this.#closed = true
    while (this.#waiting) await new Promise((resolve) => setTimeout(resolve, 5))
    sysClose(this.#fd)
  }

  #drain(): void {
    for (let i = 0; i < BATCH; i++) {
      if (this.#closed) return
      const size = Number(sysRead(this.#fd, this.#incoming.address, this.#incoming.bytes.length))
      if (size <= 0) {
        if (i > 0) this.#emptyTurns = 0
        if (this.#emptyTurns++ < TURNS) setImmediate(() => this.#drain())
        else this.#wait()
        return
      }
      this.#onPacket(this.#incoming.bytes.subarray(0, size))
    }
    setImmediate(() => this.#drain())
  }

  #wait(): void {
    this.#waiting = true
    sysPoll.async(this.#polled.address, 1, POLL_TIMEOUT, () => {
      this.#waiting = false
      this.#drain()
    })
  }
}
