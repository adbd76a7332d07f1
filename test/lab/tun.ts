/**
 * A TUN interface of Linux, opened through koffi (struct ifreq and the ioctl number as in linux/if_tun.h, x64 and arm64). Packets are read without
 * waiting, in batches; when there is none, poll(2) waits in a thread of koffi's, so that the test's own event loop stays free.
 */
import koffi from 'koffi'

const libc = koffi.load(null)
const sysOpen = libc.func('int open(const char *path, int flags)')
const sysIoctl = libc.func('int ioctl(int fd, uint64_t request, _Inout_ uint8_t *argument)')
const sysRead = libc.func('int64_t read(int fd, _Out_ uint8_t *buffer, uint64_t size)')
const sysWrite = libc.func('int64_t write(int fd, const uint8_t *buffer, uint64_t size)')
const sysPoll = libc.func('int poll(_Inout_ uint8_t *fds, uint64_t count, int timeout)')
const sysClose = libc.func('int close(int fd)')

const O_RDWR = 2
const O_NONBLOCK = 0x800
const TUNSETIFF = 0x4004_54ca
const IFF_TUN = 1
const IFF_NO_PI = 0x1000
const POLLIN = 1

/** Packets handled before other work of the event loop gets its turn. */
const BATCH = 64

/** How long poll waits at most, ms: closing takes so long. */
const POLL_TIMEOUT = 50

export class Tun {
  readonly name: string
  readonly #fd: number
  readonly #buffer = Buffer.alloc(65_536)
  readonly #onPacket: (packet: Uint8Array) => void
  #closed = false
  #waiting = false

  /** Makes the interface, which vanishes with `close`. `onPacket` gets packets that the kernel sends, borrowed for the call. */
  constructor(name: string, onPacket: (packet: Uint8Array) => void) {
    this.name = name
    this.#onPacket = onPacket
    this.#fd = sysOpen('/dev/net/tun', O_RDWR | O_NONBLOCK)
    if (this.#fd < 0) throw new Error('cannot open /dev/net/tun')
    const request = Buffer.alloc(40)
    request.write(name, 0, 15, 'latin1')
    request.writeUInt16LE(IFF_TUN | IFF_NO_PI, 16)
    if (sysIoctl(this.#fd, TUNSETIFF, request) < 0) throw new Error(`cannot make TUN ${name}`)
  }

  /** Begins to read; to be called when the interface is up. */
  start(): void {
    this.#drain()
  }

  /** Gives the kernel a packet; false where it takes none. */
  write(packet: Uint8Array): boolean {
    return !this.#closed && sysWrite(this.#fd, packet, packet.length) === packet.length
  }

  async close(): Promise<void> {
    this.#closed = true
    while (this.#waiting) await new Promise((resolve) => setTimeout(resolve, 5))
    sysClose(this.#fd)
  }

  #drain(): void {
    for (let i = 0; i < BATCH; i++) {
      if (this.#closed) return
      const size = Number(sysRead(this.#fd, this.#buffer, this.#buffer.length))
      if (size <= 0) {
        this.#wait()
        return
      }
      this.#onPacket(this.#buffer.subarray(0, size))
    }
    setImmediate(() => this.#drain())
  }

  #wait(): void {
    const fds = Buffer.alloc(8)
    fds.writeInt32LE(this.#fd, 0)
    fds.writeInt16LE(POLLIN, 4)
    this.#waiting = true
    sysPoll.async(fds, 1, POLL_TIMEOUT, () => {
      this.#waiting = false
      this.#drain()
    })
  }
}
