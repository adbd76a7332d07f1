import * as ciphers from './esp/ciphers.ts'
import * as datagrams from './esp/datagrams.ts'
import * as keyedPackets from './esp/keyed-packets.ts'
import { oneOf } from './verdict.ts'

export const { recognises, judge } = oneOf('ESP', [keyedPackets, ciphers, datagrams])
