/** What our own client finds out about the NAT that it is behind, as one line of JSON. Arguments: STUN servers, ADDR:PORT. */
import { splitHostPort } from '#agent/core/agent-config.ts'
import { discoverBehaviour } from '#agent/io/nat-behaviour.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { systemClock } from '#shared/platform/clock.ts'
import { systemTimers } from '#shared/platform/timers.ts'

const servers = process.argv.slice(2).map((text) => splitHostPort(text)!)
const found = await discoverBehaviour({ suite: nativeSuite, clock: systemClock, timers: systemTimers, servers })
process.stdout.write(`${JSON.stringify(found)}\n`)
