import * as corpus from './stun/corpus.ts'
import * as scapy from './stun/scapy.ts'
import * as stated from './stun/stated.ts'
import { oneOf } from './verdict.ts'

export const { recognises, judge } = oneOf('STUN', [stated, scapy, corpus])
