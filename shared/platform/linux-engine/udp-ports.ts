/**
 * One UDP port for several lanes: each has sockets of its own, and the kernel tells them apart by `steeringProgram`. A lane's number is the
 * place of its port, which is the order of binding.
 */
import type { Libc } from './libc.ts'
import type { NativeMemory } from './memory.ts'
import { steeringProgram } from './steering.ts'
import { UdpPort, type UdpPortOptions } from './udp-port.ts'

/** Bytes of an instruction, and how many there may be room for. */
const INSTRUCTION = 8
const MOST = 16

/** Where a memory keeps the program and what names it: each call writes it anew. */
const places = new WeakMap<NativeMemory, number>()

/**
 * As many ports as there are lanes; a single one where the kernel steers nothing (before Linux 4.5), which serves without the others. Throws as
 * `UdpPort.bind` does.
 */
export function bindPorts(libc: Libc, memory: NativeMemory, options: UdpPortOptions, lanes: number): UdpPort[] {
  if (lanes === 1) return [UdpPort.bind(libc, memory, options)]
  // Who shares a port is not told that another program has it, or has it for himself: that is noticed by asking for it alone first.
  const alone = UdpPort.bind(libc, memory, { ...options, shared: false })
  const { port } = alone.local
  alone.close()
  const ports: UdpPort[] = []
  try {
    for (let lane = 0; lane < lanes; lane++) {
      ports.push(UdpPort.bind(libc, memory, { ...options, port, grouped: true }))
      if (lane === 0 && !steer(memory, ports[0]!, lanes)) return ports
    }
    return ports
  } catch (error) {
    for (const port of ports) port.close()
    throw error
  }
}

function steer(memory: NativeMemory, port: UdpPort, lanes: number): boolean {
  const { sockFprog } = memory.abi
  const at = places.get(memory) ?? memory.allocate(sockFprog.size + MOST * INSTRUCTION)
  places.set(memory, at)
  const program = steeringProgram(lanes)
  const instructionsAt = at + sockFprog.size
  for (const [i, [code, jt, jf, k]] of program.entries()) {
    const one = instructionsAt + i * INSTRUCTION
    memory.view.setUint16(one, code, true)
    memory.bytes[one + 2] = jt
    memory.bytes[one + 3] = jf
    memory.view.setUint32(one + 4, k, true)
  }
  memory.bytes.fill(0, at, instructionsAt)
  memory.view.setUint16(at, program.length, true)
  memory.setPointer(at + sockFprog.filter, instructionsAt, program.length * INSTRUCTION)
  return port.steer(memory.address(at, sockFprog.size), sockFprog.size)
}
