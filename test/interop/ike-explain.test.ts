import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { CaFolder } from '#broker/identity/ca-files.ts'
import { CaStanding } from '#broker/identity/ca-standing.ts'
import { issuePeer } from '#broker/identity/issuing-ca.ts'
import { nativeSuite } from '#shared/crypto/native.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { decodePem, encodePem } from '#shared/pki/pem.ts'
import { nodeFiles } from '#shared/platform/files.ts'
import { wallTime } from '#shared/time/instant.ts'
import { IpsecTown, type StrongswanPeer, setting } from '#test/lab/ipsec-town.ts'
import { testCa } from '#test/lab/strongswan.ts'

/** Wrong in every way that happens to people: each is told what to change, at the broker; the wire says as little as ever. */

interface Wrong {
  name: string
  edit: (conf: string) => string
  code: string
  /** What charon is told. */
  said: RegExp
  /** What the broker's administrator is told: what happened, the line at the peer, the line here. */
  message: RegExp
  there: RegExp
  here: RegExp
  nearest?: RegExp
}

const refusedBriefly = /parsed IKE_AUTH response 1 \[ N\(AUTH_FAILED\) \]/

const wrongSettings: readonly Wrong[] = [
  {
    name: 'an IKE proposal with SHA-1 and a group of 1024 bits',
    edit: setting('proposals', 'aes256-sha1-modp1024'),
    code: 'no-proposal-chosen',
    said: /NO_PROP/,
    message: /No proposal chosen for IKE: offered aes256-sha1-modp1024/,
    there: /connections\.adit: proposals = aes256/,
    here: /nothing/,
    nearest: /sha1|modp1024/,
  },
  {
    name: 'an IKE proposal that the broker could allow',
    edit: setting('proposals', 'aes256gcm16-prfsha256-ecp521'),
    code: 'no-proposal-chosen',
    said: /NO_PROP/,
    message: /No proposal chosen for IKE/,
    there: /connections\.adit: proposals = aes/,
    here: /ike-proposals = \[.*ecp521"/,
  },
  {
    name: 'an ESP proposal that is never taken',
    edit: setting('esp_proposals', '3des-sha1'),
    code: 'no-proposal-chosen',
    said: /NO_PROP/,
    message: /No proposal chosen for ESP: offered 3des-sha1/,
    there: /children\.adit: esp_proposals = aes/,
    here: /nothing/,
    nearest: /3des/,
  },
  {
    name: 'traffic selectors of somebody else, here',
    edit: setting('local_ts', '172.31.0.0/16'),
    code: 'selectors-unacceptable',
    said: /TS_UNACCEPT/,
    message: /asks for 172\.31\.0\.0\/16/,
    there: /local_ts = /,
    here: /--subnet 172\.31\.0\.0\/16/,
  },
  {
    name: 'traffic selectors of somebody else, there',
    edit: setting('remote_ts', '192.0.2.0/24'),
    code: 'selectors-unacceptable',
    said: /TS_UNACCEPT/,
    message: /192\.0\.2\.0\/24/,
    there: /remote_ts = /,
    here: /--name SITE --subnet 192\.0\.2\.0\/24/,
  },
  {
    name: 'an identity that the certificate does not say',
    edit: (conf) => conf.replace(/id = "CN=pump"/, 'id = "CN=somebody"'),
    code: 'identity-mismatch',
    said: refusedBriefly,
    message: /claims to be CN=somebody/,
    there: /id = "CN=pump"/,
    here: /./,
  },
  {
    name: 'the peer expects another broker',
    edit: (conf) => conf.replace(/id = "CN=adit broker [0-9a-f]+"/, 'id = "CN=another broker"'),
    code: 'peer-refused-us',
    said: /constraint check failed|peer not authenticated|identity 'CN=another broker' required/,
    message: /AUTHENTICATION_FAILED/,
    there: /remote\.id/,
    here: /identity/,
  },
]

test('a negotiation that fails is explained', async (t) => {
  const allowed = ['aes256gcm16-prfsha256-x25519', 'aes256-sha256-modp2048']
  const town = await IpsecTown.open(t, { config: `[ipsec]\nike-proposals = ${JSON.stringify(allowed)}\n` })
  const peer = await town.peer(t, 'pump')

  for (const wrong of wrongSettings) {
    await t.test(wrong.name, async () => {
      await peer.reload(wrong.edit)
      await fails(town, peer, wrong)
    })
  }

  const certificates: readonly {
    name: string
    days: [from: number, life: number]
    code: string
    message: RegExp
    there: RegExp
    here: RegExp
  }[] = [
    {
      name: 'a certificate that has expired',
      days: [-30, 10],
      code: 'certificate-refused',
      message: /certificate "CN=pump" .* because its time is over/,
      there: /certificate anew/,
      here: /adit-broker device add --ipsec/,
    },
    {
      name: 'a certificate of tomorrow: a clock is wrong',
      days: [2, 10],
      code: 'clock',
      message: /certificate "CN=pump" .* because its time has not begun/,
      there: /clock/,
      here: /timedatectl/,
    },
  ]
  const ours = { key: join(peer.folder, 'private', 'adit.key'), certificate: join(peer.folder, 'x509', 'adit.crt') }
  const good = readFileSync(ours.certificate, 'utf8')
  for (const {
    name,
    days: [from, life],
    ...wrong
  } of certificates) {
    await t.test(name, async () => {
      writeFileSync(ours.certificate, await issuedAt(town, good, from, life))
      await peer.reload()
      await fails(town, peer, { said: refusedBriefly, ...wrong })
    })
  }

  await t.test('a certificate of a CA that is not ours', async () => {
    const ca = await testCa(join(town.fleet.folder, 'foreign'), { name: 'Foreign CA' })
    const { key, certificate } = await ca.issue('pump')
    copyFileSync(certificate, ours.certificate)
    const kept = readFileSync(ours.key)
    copyFileSync(key, ours.key)
    await peer.reload()
    await fails(town, peer, {
      code: 'certificate-refused',
      said: refusedBriefly,
      message: /"CN=pump" \(.*by "CN=Foreign CA"\)/,
      there: /./,
      here: /adit-broker device add --ipsec/,
    })
    writeFileSync(ours.key, kept)
  })

  await t.test('all set right: it connects, and nothing is recorded', async () => {
    writeFileSync(ours.certificate, good)
    await peer.reload()
    await peer.up()
    assert.equal((await town.negotiations())[0]?.id, lastSeen)
  })

  await t.test(
    'the registration revoked: told to the administrator, while the wire says what it says to a stranger',
    async () => {
      await town.fleet.admin('device', 'revoke', 'pump')
      await peer.down()
      await peer.reload()
      await fails(town, peer, {
        code: 'refused',
        said: refusedBriefly,
        message: /device pump is revoked/,
        there: /./,
        here: /device add/,
      })
    },
  )

  await t.test('adit why names the same cause and the same line', async () => {
    const ann = await town.fleet.operator('ann', '--admin')
    const said = await ann.run(['why', 'pump'])
    assert.match(said.stdout, /revoked/)
    assert.equal(said.status, 1)
  })

  await t.test("a pre-shared key that is not the peer's, and an identity that has none", async (t) => {
    const shared = await town.peer(t, 'shared', { words: ['--psk', 'generate'] })
    await shared.reload((conf) => conf.replace(/secret = .*/, 'secret = 0x000102030405060708090a0b0c0d0e0f1011121314151617'))
    await fails(town, shared, {
      code: 'psk-mismatch',
      said: refusedBriefly,
      message: /pre-shared key of .*shared.* is another one than ours/,
      there: /secrets\.ike-adit: secret/,
      here: /--psk generate/,
    })
    await shared.reload((conf) => conf.replace(/id(-peer)? = "shared[^"]*"/g, 'id$1 = "nobody.example"'))
    await fails(town, shared, {
      code: 'unknown-peer',
      said: refusedBriefly,
      message: /nobody\.example/,
      there: /id = /,
      here: /--psk generate/,
    })
  })
})

/** The row of the last failure that was looked at. */
let lastSeen = 0

async function fails(town: IpsecTown, peer: StrongswanPeer, wrong: Omit<Wrong, 'name' | 'edit'>): Promise<void> {
  // What fails the same way in other words is written again after half a second: no person has tried again sooner.
  await wait(600)
  assert.match(await peer.refused(), wrong.said)
  const last = await town.negotiationAfter(lastSeen)
  lastSeen = last.id
  assert.equal(last.code, wrong.code, JSON.stringify(last))
  assert.match(last.message, wrong.message)
  assert.match(last.mendThere, wrong.there)
  assert.match(last.mendHere, wrong.here)
  if (wrong.nearest) assert.match(last.nearest?.differs ?? '', wrong.nearest)
}

/** The same key certified again by the broker's own CA, `from` days from now for `life` days. */
async function issuedAt(town: IpsecTown, pem: string, from: number, life: number): Promise<string> {
  const files = await new CaFolder(town.fleet.data, nativeSuite, nodeFiles).read()
  assert.ok(files)
  const ca = new CaStanding(files).issuing('device')
  const [der] = decodePem('CERTIFICATE', pem)
  const { spki } = parseCertificate(der!)
  const now = wallTime(Date.now() + from * 86_400_000)
  const again = issuePeer(ca, { role: 'device', name: 'pump', spki, days: life, ipsec: true }, now, nativeSuite)
  return encodePem('CERTIFICATE', again)
}
