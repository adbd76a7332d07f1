/** What tcpdump printed of a capture, in `.out` files beside it: another reader's word for the numbers in each header. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** tcpdump's own tests name a capture's text after the test, not after the capture. */
const textsOf: Readonly<Record<string, readonly string[]>> = {
  '02-sunrise-sunset-esp.pcap': ['esp0.out', 'esp1.out'],
  '08-sunrise-sunset-aes.pcap': ['esp5.out'],
  'espudp1.pcap': ['espudp1.out'],
  'isakmp4500.pcap': ['isakmp4.out'],
  'ikev2four.pcap': ['ikev2four.out', 'ikev2fourv.out'],
  'ikev2pI2.pcap': ['ikev2pI2.out'],
  'ikev2-id-normal.pcap': ['ikev2-id-normal.out'],
  'ikev2-id-short.pcap': ['ikev2-id-short.out'],
}

interface Printed {
  readonly name: string
  readonly text: string
}

function printedOf(path: string): Printed[] {
  return (textsOf[basename(path)] ?? [])
    .map((name) => join(dirname(path), name))
    .filter((file) => existsSync(file))
    .map((file) => ({ name: basename(file), text: readFileSync(file, 'utf8') }))
}

export interface PrintedNumbers {
  /** The file that they stand in. */
  readonly name: string
  /** One line each, in the order of the capture, as `describe…` writes them. */
  readonly lines: readonly string[]
}

export const describeEsp = (spi: number, sequence: number): string => `spi=0x${hex(spi)},seq=0x${sequence.toString(16)}`
export const describeIke = (major: number, minor: number, messageId: number): string =>
  `${major}.${minor} msgid ${hex(messageId)}`

/** SPI and sequence number of every ESP packet. */
export const printedEsp = (path: string): PrintedNumbers[] =>
  numbers(path, /ESP\(spi=0x([0-9a-f]+),seq=0x([0-9a-f]+)\)/g, ([, spi, sequence]) =>
    describeEsp(Number.parseInt(spi!, 16), Number.parseInt(sequence!, 16)),
  )

/** Version and message id of every IKEv2 message. */
export const printedIke = (path: string): PrintedNumbers[] =>
  numbers(path, /isakmp (2)\.(\d+) msgid ([0-9a-f]+)/g, ([, major, minor, id]) =>
    describeIke(Number(major), Number(minor), Number.parseInt(id!, 16)),
  )

function numbers(path: string, pattern: RegExp, describe: (match: RegExpMatchArray) => string): PrintedNumbers[] {
  return printedOf(path)
    .map(({ name, text }) => ({ name, lines: [...text.matchAll(pattern)].map(describe) }))
    .filter(({ lines }) => lines.length > 0)
}

const hex = (value: number): string => value.toString(16).padStart(8, '0')
