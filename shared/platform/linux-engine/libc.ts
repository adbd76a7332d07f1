/**
 * The system calls that the engine makes. Addresses come from `NativeMemory.address`, which has checked them; results are what libc
 * returns: -1 with `errno` for an error.
 */
import type { Native, NativeFunction } from './native.ts'

/** Errors that somebody acts upon: include/uapi/asm-generic/errno*.h. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EMSGSIZE: 90,
  EPROTONOSUPPORT: 93,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
} as const

/** Flags of open(2) and their like of socket(2) and eventfd(2): the same on x64 and both arms. */
export const O_RDWR = 2
export const O_NONBLOCK = 0x800
export const O_CLOEXEC = 0x8_0000

export const MSG_DONTWAIT = 0x40

export const POLLIN = 1
export const POLLOUT = 4

const declarations = {
  open: 'int open(uintptr_t path, int flags)',
  close: 'int close(int descriptor)',
  ioctl: 'int ioctl(int descriptor, unsigned long request, uintptr_t argument)',
  read: 'intptr_t read(int descriptor, uintptr_t to, size_t length)',
  write: 'intptr_t write(int descriptor, uintptr_t from, size_t length)',
  writev: 'intptr_t writev(int descriptor, uintptr_t vectors, int count)',
  poll: 'int poll(uintptr_t descriptors, unsigned long count, int timeout)',
  eventfd: 'int eventfd(unsigned int value, int flags)',
  socket: 'int socket(int family, int type, int protocol)',
  bind: 'int bind(int descriptor, uintptr_t address, uint32_t length)',
  getsockname: 'int getsockname(int descriptor, uintptr_t address, uintptr_t length)',
  setsockopt: 'int setsockopt(int descriptor, int level, int option, uintptr_t value, uint32_t length)',
  sendto: 'intptr_t sendto(int descriptor, uintptr_t from, size_t length, int flags, uintptr_t address, uint32_t addressLength)',
  sendmsg: 'intptr_t sendmsg(int descriptor, uintptr_t message, int flags)',
  recvmmsg: 'int recvmmsg(int descriptor, uintptr_t messages, unsigned int count, int flags, uintptr_t timeout)',
} as const

export class Libc {
  readonly open: (path: number, flags: number) => number
  readonly close: (descriptor: number) => number
  readonly ioctl: (descriptor: number, request: number, argument: number) => number
  readonly read: (descriptor: number, to: number, length: number) => number
  readonly write: (descriptor: number, from: number, length: number) => number
  /** `vectors`: `count` iovecs. */
  readonly writev: (descriptor: number, vectors: number, count: number) => number
  /** `timeout` in ms; -1: for ever. */
  readonly poll: (descriptors: number, count: number, timeout: number) => number
  readonly eventfd: (value: number, flags: number) => number
  readonly socket: (family: number, type: number, protocol: number) => number
  readonly bind: (descriptor: number, address: number, length: number) => number
  readonly getsockname: (descriptor: number, address: number, length: number) => number
  readonly setsockopt: (descriptor: number, level: number, option: number, value: number, length: number) => number
  readonly sendto: (descriptor: number, from: number, length: number, flags: number, address: number, size: number) => number
  readonly sendmsg: (descriptor: number, message: number, flags: number) => number
  /** `timeout`: 0 for none. */
  readonly recvmmsg: (descriptor: number, messages: number, count: number, flags: number, timeout: number) => number
  /** Of the call just made in this thread. */
  readonly errno: () => number

  constructor(native: Native) {
    const library = native.library(null)
    const of = (name: keyof typeof declarations): NativeFunction => library.function(declarations[name])
    this.open = of('open')
    this.close = of('close')
    this.ioctl = of('ioctl')
    this.read = of('read')
    this.write = of('write')
    this.writev = of('writev')
    this.poll = of('poll')
    this.eventfd = of('eventfd')
    this.socket = of('socket')
    this.bind = of('bind')
    this.getsockname = of('getsockname')
    this.setsockopt = of('setsockopt')
    this.sendto = of('sendto')
    this.sendmsg = of('sendmsg')
    this.recvmmsg = of('recvmmsg')
    this.errno = native.errno
  }
}
