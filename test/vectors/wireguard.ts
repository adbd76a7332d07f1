import { oneOf } from './verdict.ts'
import * as aead from './wireguard/aead.ts'
import * as allowedIps from './wireguard/allowed-ips.ts'
import * as capture from './wireguard/capture.ts'
import * as dissection from './wireguard/dissection.ts'
import * as handshakes from './wireguard/handshakes.ts'
import * as kdf from './wireguard/kdf.ts'
import * as replayWindow from './wireguard/replay-window.ts'
import * as transport from './wireguard/transport.ts'

export const { recognises, judge } = oneOf('WireGuard', [
  handshakes,
  replayWindow,
  kdf,
  aead,
  allowedIps,
  dissection,
  transport,
  capture,
])
