/**
 * A TUN interface of Linux: packets of the kernel as reads and writes of one descriptor (Documentation/networking/tuntap.rst). Each begins
 * with a virtio header of 10 bytes (include/uapi/linux/virtio_net.h), so that a read may bring many segments of a flow at once and a write
 * may take as many.
 */
import { virtioNetHeader } from '#shared/dataplane/batch/virtio-net-header.ts'
import { Errno, type Libc, O_CLOEXEC, O_NONBLOCK, O_RDWR } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import type { NativeRefusal } from './native.ts'

/** include/uapi/linux/if_tun.h */
const TUNSETIFF = 0x4004_54ca
const TUNSETOFFLOAD = 0x4004_54d0
const TUNSETVNETHDRSZ = 0x4004_54d8
const IFF_TUN = 0x0001
const IFF_MULTI_QUEUE = 0x0100
const IFF_NO_PI = 0x1000
const IFF_VNET_HDR = 0x4000
const TUN_F_CSUM = 0x01
const TUN_F_TSO4 = 0x02
const TUN_F_TSO6 = 0x04
const TUN_F_USO4 = 0x20
const TUN_F_USO6 = 0x40

/** Bytes of an interface's name with its zero (IFNAMSIZ). */
const NAME = 16

/** What the kernel may leave undone in what we read. */
export interface TunOffloads {
  /** Checksums of TCP and UDP. */
  readonly checksum: boolean
  /** Cutting TCP, of both IP versions, into segments. */
  readonly tcp: boolean
  /** Cutting UDP into datagrams (Linux 6.2). */
  readonly udp: boolean
}

/** The best first. */
const wishes: readonly [flags: number, offloads: TunOffloads][] = [
  [TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6, { checksum: true, tcp: true, udp: true }],
  [TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, { checksum: true, tcp: true, udp: false }],
  [TUN_F_CSUM, { checksum: true, tcp: false, udp: false }],
]

export interface TunOptions {
  /** At most 15 bytes; with `%d` in it the kernel picks the number. */
  readonly name: string
  /** False: every packet comes whole and finished, behind a header of zeros. */
  readonly offload?: boolean
  /** How many threads read and write it, each by a queue of its own. Default 1. */
  readonly queues?: number
}

export class TunDevice {
  /** As the kernel granted it. */
  readonly name: string
  /** One for each queue. Reads and writes never wait. */
  readonly descriptors: readonly number[]
  readonly offloads: TunOffloads
  readonly #libc: Libc

  private constructor(libc: Libc, descriptors: readonly number[], name: string, offloads: TunOffloads) {
    this.#libc = libc
    this.descriptors = descriptors
    this.name = name
    this.offloads = offloads
  }

  /** The interface exists from now on, down and without addresses; unless it was made to stay, it vanishes when it is closed. */
  static open(libc: Libc, memory: NativeMemory, { name, offload = true, queues = 1 }: TunOptions): TunDevice | NativeRefusal {
    if (!isName(name)) return noTun(`"${name}" cannot name a network interface.`, 'A name has 1 to 15 bytes and no slash.')
    const at = memory.allocate(Math.max(memory.abi.ifreq.size, PATH.length))
    const flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0)
    const descriptors: number[] = []
    let granted = name
    for (let queue = 0; queue < queues; queue++) {
      const opened = openQueue(libc, memory, at, granted, flags)
      if ('code' in opened) {
        for (const descriptor of descriptors) libc.close(descriptor)
        return opened
      }
      descriptors.push(opened.descriptor)
      granted = opened.name
    }
    const [first] = descriptors as [number]
    // An interface that was made to stay may have been told another length by its last user.
    memory.words[at >> 2] = virtioNetHeader
    libc.ioctl(first, TUNSETVNETHDRSZ, memory.address(at, 4))
    return new TunDevice(libc, descriptors, granted, agree(libc, first, offload))
  }

  /** The first queue's. */
  get descriptor(): number {
    return this.descriptors[0]!
  }

  close(): void {
    for (const descriptor of this.descriptors) this.#libc.close(descriptor)
  }
}

const PATH = new TextEncoder().encode('/dev/net/tun\0')

const isName = (name: string): boolean => {
  const { length } = new TextEncoder().encode(name)
  return length > 0 && length < NAME && !name.includes('/')
}

/** One queue of the interface, which the first one makes. `at`: room for the path and for a struct ifreq. */
function openQueue(
  libc: Libc,
  memory: NativeMemory,
  at: number,
  name: string,
  flags: number,
): { readonly descriptor: number; readonly name: string } | NativeRefusal {
  memory.bytes.set(PATH, at)
  const descriptor = libc.open(memory.address(at, PATH.length), O_RDWR | O_NONBLOCK | O_CLOEXEC)
  if (descriptor < 0) return notOpened(libc.errno())
  const { ifreq } = memory.abi
  memory.bytes.fill(0, at, at + ifreq.size)
  memory.bytes.set(new TextEncoder().encode(name), at)
  memory.halves[(at + ifreq.flags) >> 1] = flags
  if (libc.ioctl(descriptor, TUNSETIFF, memory.address(at, ifreq.size)) < 0) {
    const errno = libc.errno()
    libc.close(descriptor)
    return notMade(name, errno)
  }
  return { descriptor, name: new TextDecoder().decode(memory.bytes.subarray(at, memory.bytes.indexOf(0, at))) }
}

/** Older kernels know fewer offloads and refuse a wish that has others in it. */
function agree(libc: Libc, descriptor: number, offload: boolean): TunOffloads {
  for (const [flags, offloads] of offload ? wishes : []) if (libc.ioctl(descriptor, TUNSETOFFLOAD, flags) === 0) return offloads
  libc.ioctl(descriptor, TUNSETOFFLOAD, 0)
  return { checksum: false, tcp: false, udp: false }
}

function notOpened(errno: number): NativeRefusal {
  if (errno === Errno.EACCES || errno === Errno.EPERM) return noPermission()
  const mend = 'Run "modprobe tun"; in a container, give it the device (--device /dev/net/tun).'
  if (errno === Errno.ENOENT || errno === Errno.ENODEV || errno === Errno.ENXIO)
    return noTun('This machine offers no /dev/net/tun.', mend)
  return noTun(`/dev/net/tun cannot be opened (error ${errno}).`, mend)
}

function notMade(name: string, errno: number): NativeRefusal {
  if (errno === Errno.EPERM || errno === Errno.EACCES) return noPermission()
  if (errno === Errno.EBUSY)
    return noTun(`The network interface ${name} is in use by another program.`, 'Stop that program or choose another name.')
  const mend = `If there is another kind of interface of that name ("ip -d link show ${name}"), perhaps with one queue where several are wanted, choose another name.`
  return noTun(`The TUN interface ${name} cannot be made (error ${errno}).`, mend)
}

function noPermission(): NativeRefusal {
  const mend = 'Run as root, or give the program CAP_NET_ADMIN (systemd: AmbientCapabilities=CAP_NET_ADMIN).'
  return { code: 'no-permission', message: 'This user may not make a TUN interface.', mend }
}

function noTun(message: string, mend: string): NativeRefusal {
  return { code: 'no-tun', message, mend }
}
