/**
 * Which of several lanes a datagram, a session and a peer are of. The kernel, the lanes and the endpoints must agree, without asking each
 * other: datagrams of a session show its local number (receiver index or SPI), whose lowest byte says it.
 *
 *   noise  04 00 00 00 | receiver index, little-endian: its lowest byte is the first | …
 *   esp    SPI, big-endian, top bit set: its lowest byte is the last | …
 *
 * All else (handshakes, IKE, STUN, strangers) is lane 0's, which hands it up.
 */
import { DATA_TYPE } from '#shared/wire/wireguard-data.ts'

/** Lanes at most; each lowest byte is then met by 1 of 16 numbers at least. */
export const MOST_LANES = 16

/** Where the lowest byte of the number stands in a datagram. */
const NOISE_AT = 4
const ESP_AT = 3

export const laneOfNumber = (local: number, lanes: number): number => (local & 0xff) % lanes

/** By what is known of a peer for as long as it exists, so that all its sessions are of one lane (`Association.peerKey`, hex). */
export const laneOfPeer = (peerKey: string, lanes: number): number =>
  lanes === 1 ? 0 : (Number.parseInt(peerKey.slice(-8), 16) >>> 0) % lanes

/** What the program below says of a datagram. */
export function laneOfDatagram(datagram: Uint8Array, lanes: number): number {
  const isEsp = datagram.length > ESP_AT && datagram[0]! >= 0x80
  const isNoise = datagram.length > NOISE_AT && datagram[0] === DATA_TYPE && (datagram[1]! | datagram[2]! | datagram[3]!) === 0
  if (!isEsp && !isNoise) return 0
  return datagram[isEsp ? ESP_AT : NOISE_AT]! % lanes
}

/** An instruction of classic BPF (include/uapi/linux/filter.h): code, jumps where the test holds and where not, operand. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number]

/** include/uapi/linux/bpf_common.h: loads of a word and of a byte at a fixed place, jumps, A modulo k, and what is returned: k, or A. */
const LOAD_WORD = 0x20
const LOAD_BYTE = 0x30
const JUMP = 0x05
const JUMP_EQUAL = 0x15
const JUMP_SET = 0x45
const MODULO = 0x94
const RETURN_K = 0x06
const RETURN_A = 0x16

/**
 * For SO_ATTACH_REUSEPORT_CBPF: runs on the UDP payload and returns the number of the socket, in the order in which they were bound. A load
 * behind the end of a datagram ends it with 0. What GRO has joined is asked about by its first datagram.
 */
export function steeringProgram(lanes: number): readonly Instruction[] {
  return [
    [LOAD_WORD, 0, 0, 0],
    [JUMP_EQUAL, 0, 2, (DATA_TYPE << 24) >>> 0],
    [LOAD_BYTE, 0, 0, NOISE_AT],
    [JUMP, 0, 0, 3],
    [JUMP_SET, 1, 0, 0x8000_0000],
    [RETURN_K, 0, 0, 0],
    [LOAD_BYTE, 0, 0, ESP_AT],
    [MODULO, 0, 0, lanes],
    [RETURN_A, 0, 0, 0],
  ]
}
