import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Strongswan } from '#test/lab/strongswan.ts'
import type { Contender } from './contender.ts'

const needed = ['/usr/lib/ipsec/charon', '/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so', '/usr/sbin/swanctl']
const [innerA, innerB] = ['10.97.0.1', '10.97.0.2']
const psk = '7d1c0b6fd7a94b0e7d1c0b6fd7a94b0e'

/** IKEv2 with ESP in user space: AES-256-GCM in UDP. charon makes the interface `ipsec0` and routes the other's address to it. */
export const strongswan: Contender = {
  name: 'strongswan',
  lacks: lacksStrongswan,
  async start({ a, b, outerA, outerB }, t) {
    a.addAddress(`${innerA}/32`, 'lo')
    t.after(() => a.ip(`addr del ${innerA}/32 dev lo`))
    b.addAddress(`${innerB}/32`, 'lo')
    t.after(() => b.ip(`addr del ${innerB}/32 dev lo`))
    const endA = await Strongswan.start(t, { host: a })
    const endB = await Strongswan.start(t, { host: b })
    await load(endB, { outer: outerB, inner: innerB, theirOuter: outerA, theirInner: innerA })
    await load(endA, { outer: outerA, inner: innerA, theirOuter: outerB, theirInner: innerB })
    const { status, stdout, stderr } = await endA.initiate('bench')
    if (status !== 0) throw new Error(`strongSwan did not connect: ${stdout}${stderr}`)
    const processes = { a: [endA.pid], hop: [], b: [endB.pid] }
    return { innerA, innerB, deviceA: 'ipsec0', deviceB: 'ipsec0', processes }
  },
}

export function lacksStrongswan(): string | undefined {
  const file = needed.find((path) => !existsSync(path))
  if (file === undefined) return undefined
  return `${file} is not here: one of Debian's strongSwan packages that prepare.sh names could not be installed.`
}

interface Side {
  outer: string
  inner: string
  theirOuter: string
  theirInner: string
}

async function load(swan: Strongswan, { outer, inner, theirOuter, theirInner }: Side): Promise<void> {
  const folder = join(swan.folder, 'conf')
  mkdirSync(folder)
  const conf = `connections {
  bench {
    version = 2
    local_addrs = ${outer}
    remote_addrs = ${theirOuter}
    proposals = aes256gcm16-prfsha256-x25519
    encap = yes
    local {
      auth = psk
      id = ${outer}
    }
    remote {
      auth = psk
      id = ${theirOuter}
    }
    children {
      bench {
        local_ts = ${inner}/32
        remote_ts = ${theirInner}/32
        esp_proposals = aes256gcm16-x25519-noesn
      }
    }
  }
}
secrets {
  ike-bench {
    secret = "${psk}"
  }
}
`
  writeFileSync(join(folder, 'swanctl.conf'), conf, { mode: 0o600 })
  await swan.load(folder)
}
