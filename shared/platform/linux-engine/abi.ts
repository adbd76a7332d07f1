/**
 * How Linux lays out what we hand to the kernel: offsets and sizes in bytes, for 64-bit machines (x64, arm64) and 32-bit ones (armv7).
 * All are little-endian. Sources: include/uapi/linux/{uio,socket,in,in6,if,filter}.h, include/linux/socket.h, poll(2).
 * The tables are checked against what koffi computes from the C declarations before anything is handed over (`layoutMismatch`).
 */

export interface Abi {
  /** Bytes of a pointer, and of size_t. */
  readonly pointerBytes: 4 | 8
  readonly iovec: { readonly base: number; readonly length: number; readonly size: number }
  readonly msghdr: {
    readonly name: number
    /** 32 bits. */
    readonly nameLength: number
    readonly vector: number
    /** size_t, as `controlLength`. */
    readonly vectorLength: number
    readonly control: number
    readonly controlLength: number
    readonly flags: number
    readonly size: number
  }
  /** A msghdr, and how many bytes have been moved (32 bits). */
  readonly mmsghdr: { readonly length: number; readonly size: number }
  /** `align`: where the next control message begins. */
  readonly cmsghdr: {
    readonly length: number
    readonly level: number
    readonly type: number
    readonly data: number
    readonly align: number
  }
  /** Of both families: the family (16 bits), the port (network order) at 2, the address. */
  readonly sockaddrIn: { readonly address: number; readonly size: number }
  readonly sockaddrIn6: { readonly flowInfo: number; readonly address: number; readonly scope: number; readonly size: number }
  readonly pollfd: { readonly descriptor: number; readonly events: number; readonly returned: number; readonly size: number }
  /** A program of classic BPF: how many instructions (16 bits, at 0), and where they are. */
  readonly sockFprog: { readonly filter: number; readonly size: number }
  /** An interface's name (16 bytes with its zero) and flags (16 bits). */
  readonly ifreq: { readonly flags: number; readonly size: number }
}

const common = {
  sockaddrIn: { address: 4, size: 16 },
  sockaddrIn6: { flowInfo: 4, address: 8, scope: 24, size: 28 },
  pollfd: { descriptor: 0, events: 4, returned: 6, size: 8 },
} as const

const wide: Abi = {
  pointerBytes: 8,
  iovec: { base: 0, length: 8, size: 16 },
  msghdr: { name: 0, nameLength: 8, vector: 16, vectorLength: 24, control: 32, controlLength: 40, flags: 48, size: 56 },
  mmsghdr: { length: 56, size: 64 },
  cmsghdr: { length: 0, level: 8, type: 12, data: 16, align: 8 },
  sockFprog: { filter: 8, size: 16 },
  ifreq: { flags: 16, size: 40 },
  ...common,
}

const narrow: Abi = {
  pointerBytes: 4,
  iovec: { base: 0, length: 4, size: 8 },
  msghdr: { name: 0, nameLength: 4, vector: 8, vectorLength: 12, control: 16, controlLength: 20, flags: 24, size: 28 },
  mmsghdr: { length: 28, size: 32 },
  cmsghdr: { length: 0, level: 4, type: 8, data: 12, align: 4 },
  sockFprog: { filter: 4, size: 8 },
  ifreq: { flags: 16, size: 32 },
  ...common,
}

/** By `process.arch`. */
export const abis: { readonly [arch: string]: Abi | undefined } = { x64: wide, arm64: wide, arm: narrow }

/** What koffi is needed for here. A type is a name or what `struct` has returned. */
export interface Layouter {
  struct(members: Record<string, unknown>): unknown
  union(members: Record<string, unknown>): unknown
  sizeof(type: never): number
  offsetof(type: never, member: string): number
}

/** Names the first offset or size in which `abi` and the C declarations differ on this machine; undefined: none does. */
export function layoutMismatch(abi: Abi, layouter: Layouter): string | undefined {
  const { struct, union } = layouter
  const bytes = (count: number) => `uint8_t [${count}]`
  const msghdr = struct({
    name: 'void *',
    nameLength: 'uint32_t',
    vector: 'void *',
    vectorLength: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  })
  const ifmap = struct({ from: 'long', to: 'long', base: 'uint16_t', irq: 'uint8_t', dma: 'uint8_t', port: 'uint8_t' })
  const declared: Record<Exclude<keyof Abi, 'pointerBytes'>, unknown> = {
    iovec: struct({ base: 'void *', length: 'size_t' }),
    msghdr,
    mmsghdr: struct({ header: msghdr, length: 'uint32_t' }),
    cmsghdr: struct({ length: 'size_t', level: 'int', type: 'int', data: 'uint8_t' }),
    sockaddrIn: struct({ family: 'uint16_t', port: 'uint16_t', address: 'uint32_t', zero: bytes(8) }),
    sockaddrIn6: struct({ family: 'uint16_t', port: 'uint16_t', flowInfo: 'uint32_t', address: bytes(16), scope: 'uint32_t' }),
    pollfd: struct({ descriptor: 'int', events: 'int16_t', returned: 'int16_t' }),
    sockFprog: struct({ length: 'uint16_t', filter: 'void *' }),
    ifreq: struct({ name: bytes(16), flags: union({ flags: 'int16_t', map: ifmap }) }),
  }
  if (layouter.sizeof('void *' as never) !== abi.pointerBytes) return 'pointer size'
  for (const [name, type] of Object.entries(declared)) {
    for (const [member, expected] of Object.entries(abi[name as keyof typeof declared])) {
      // What a control message is aligned to is the size of its length field.
      if (member === 'align') continue
      const found = member === 'size' ? layouter.sizeof(type as never) : layouter.offsetof(type as never, member)
      if (found !== expected) return `${name}.${member} is ${found}, not ${expected}`
    }
  }
  return undefined
}
