import * as badPackets from './ike/bad-packets.ts'
import * as datagrams from './ike/datagrams.ts'
import * as keyDerivation from './ike/key-derivation.ts'
import * as keyExchange from './ike/key-exchange.ts'
import * as keyedCapture from './ike/keyed-capture.ts'
import * as prf from './ike/prf.ts'
import { oneOf } from './verdict.ts'

export const { recognises, judge } = oneOf('IKE', [keyedCapture, badPackets, keyDerivation, keyExchange, prf, datagrams])
