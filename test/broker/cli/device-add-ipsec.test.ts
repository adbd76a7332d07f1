import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { nativeSuite } from '#shared/crypto/native.ts'
import { Cli, openDesk } from '#test/broker/cli/cli-fixture.ts'

const cli = new Cli()

/** `device add --ipsec` into a fresh folder; `name` also names the folder. */
async function add(data: string, name: string, ...words: string[]): Promise<{ out: string; document: Record<string, unknown> }> {
  const out = cli.fresh(name)
  const all = ['device', 'add', '--ipsec', '--data', data, '--name', name, '--endpoint', 'b.example.net', '--out', out, ...words]
  return { out, document: await cli.json(...all) }
}

const read = (folder: string, path: string): string => readFileSync(join(folder, path), 'utf8')
const openssl = (...words: string[]): string => execFileSync('openssl', words, { encoding: 'utf8', stdio: 'pipe' })
/** The value of a key in swanctl.conf. */
const setting = (conf: string, key: string): string | undefined => new RegExp(`^\\s*${key} = (.*)$`, 'm').exec(conf)?.[1]

test('a folder for each kind of key: private, whole, its certificate under our root, its key matching, one year', async () => {
  const data = cli.fresh()
  for (const [type, size] of [
    ['p256', /ASN1 OID: prime256v1/],
    ['p384', /ASN1 OID: secp384r1/],
    ['ed25519', /Public Key Algorithm: ED25519/],
    ['rsa3072', /\(3072 bit/],
  ] as const) {
    const { out, document } = await add(data, `plant-${type}`, '--key-type', type)
    assert.deepEqual(
      [document.name, document.wireguard, document.state, document.folder],
      [`plant-${type}`, false, 'enrolled', out],
    )
    assert.equal(JSON.stringify(document).includes('PRIVATE'), false)
    assert.deepEqual(readdirSync(out, { recursive: true }).sort(), [
      'ipsec.conf',
      'parameters.txt',
      'private',
      'private/adit.key',
      'swanctl.conf',
      'x509',
      'x509/adit.crt',
      'x509ca',
      'x509ca/adit-broker-ca.crt',
      'x509ca/adit-device-ca.crt',
      'x509ca/adit-root.crt',
    ])
    assert.equal(statSync(out).mode & 0o777, 0o700)
    assert.equal(statSync(join(out, 'private/adit.key')).mode & 0o777, 0o600)
    const [key, certificate, root, issuer] = [
      'private/adit.key',
      'x509/adit.crt',
      'x509ca/adit-root.crt',
      'x509ca/adit-device-ca.crt',
    ].map((path) => join(out, path)) as [string, string, string, string]
    assert.match(openssl('verify', '-CAfile', root, '-untrusted', issuer, certificate), /OK/)
    assert.match(openssl('verify', '-CAfile', root, join(out, 'x509ca/adit-broker-ca.crt')), /OK/)
    assert.equal(openssl('pkey', '-in', key, '-pubout'), openssl('x509', '-in', certificate, '-noout', '-pubkey'))
    assert.match(openssl('x509', '-in', certificate, '-noout', '-text'), size)
    assert.match(openssl('x509', '-in', certificate, '-noout', '-subject'), new RegExp(`CN = plant-${type}`))
    assert.match(read(out, 'ipsec.conf'), new RegExp(`^ +authby=${type === 'rsa3072' ? 'rsasig,ecdsa' : 'ecdsa'}$`, 'm'))
    assert.equal(/no signatures of Ed25519/.test(read(out, 'ipsec.conf')), type === 'ed25519')
    openssl('x509', '-in', certificate, '-noout', '-checkend', String(364 * 86_400))
    assert.throws(() => openssl('x509', '-in', certificate, '-noout', '-checkend', String(366 * 86_400)))
  }
  const shown = await cli.json<{ ipsec: object; certificates: object[] }>('device', 'show', 'plant-p384', '--data', data)
  assert.deepEqual(shown.ipsec, { identity: 'CN=plant-p384', proof: 'certificate', ike: [], esp: [] })
  assert.equal(shown.certificates.length, 1)
  assert.match((await cli.run('device', 'list', '--data', data)).out, /plant-p256 +enrolled +ipsec/)
})

test('swanctl.conf says what the registry holds: broker, identities, networks, suites, lifetimes', async (t) => {
  const { data } = await openDesk(t, cli)
  const west = await add(
    data,
    'west',
    '--subnet',
    '192.168.1.0/24',
    '--subnet',
    '2001:db8:1::/64',
    '--suite',
    'aes256-sha256-x25519',
  )
  assert.match(read(west.out, 'parameters.txt'), /^ +100\.64\.0\.0\/10\n +and those of sites that are added later\n/m)
  assert.match(read(west.out, 'ipsec.conf'), /# The networks of sites that are added later .*--reach.*\n +rightsubnets=/)
  const conf = read(west.out, 'swanctl.conf')
  const fleet = (await cli.json<{ fleet: string }>('status', '--data', data)).fleet
  const expected = {
    version: '2',
    remote_addrs: 'b.example.net',
    remote_port: '4500',
    local_port: '4500',
    proposals: 'aes256-sha256-x25519',
    esp_proposals: 'aes256-sha256-x25519',
    vips: '0.0.0.0, ::',
    encap: 'yes',
    mobike: 'yes',
    dpd_delay: '30s',
    local_ts: 'dynamic, 192.168.1.0/24, 2001:db8:1::/64',
    remote_ts: `${fleet}, 100.64.0.0/10, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16`,
    certs: 'adit.crt',
    cacerts: 'adit-broker-ca.crt',
    id: '"CN=west"',
  }
  for (const [key, value] of Object.entries(expected)) assert.equal(setting(conf, key), value, key)
  assert.match(conf, /connections \{\n {2}adit \{/)
  assert.match(conf, /children \{\n {6}adit \{/)
  assert.match(conf, /^ {8}rekey_time = 3600s$/m)
  assert.match(conf, /id = "CN=adit broker [0-9a-f]{8}"/)

  const laptop = await add(data, 'laptop')
  assert.equal(setting(read(laptop.out, 'swanctl.conf'), 'local_ts'), 'dynamic')
  assert.equal(
    setting(read(laptop.out, 'swanctl.conf'), 'remote_ts'),
    `${fleet}, 100.64.0.0/10, 192.168.1.0/24, 2001:db8:1::/64`,
    'no private network but those of sites: a laptop may sit in any',
  )
  assert.match(read(laptop.out, 'swanctl.conf'), /proposals = aes256gcm16-prfsha256-x25519, aes256-sha256-x25519\n/)
  const east = await add(data, 'east', '--subnet', '198.51.100.0/25', '--reach', '192.168.1.0/24')
  assert.equal(setting(read(east.out, 'swanctl.conf'), 'remote_ts'), `${fleet}, 100.64.0.0/10, 192.168.1.0/24`)
  for (const file of ['parameters.txt', 'ipsec.conf']) assert.doesNotMatch(read(east.out, file), /added later/)
  const north = await add(data, 'north', '--subnet', '192.168.3.0/24')
  assert.match(
    setting(read(north.out, 'swanctl.conf'), 'remote_ts') ?? '',
    /192\.168\.0\.0\/16, 2001:db8:1::\/64, 198\.51\.100\.0\/25$/,
  )
  assert.match(read(north.out, 'parameters.txt'), /^Remote networks +fd.*\n +100\.64\.0\.0\/10\n +192\.168\.1\.0\/24\n/m)
  assert.match(read(north.out, 'ipsec.conf'), /rightsubnets=\{100\.64\.0\.0\/10,192\.168\.1\.0\/24,198\.51\.100\.0\/25\}/)
})

test('suites in the words of strongSwan and of libreswan; ESP follows IKE or stands alone', async (t) => {
  const { data } = await openDesk(t, cli)
  const table: [words: string[], ike: string, esp: string, libreswanIke: string, libreswanEsp: string][] = [
    [
      ['--suite', 'aes256gcm16-prfsha256-x25519'],
      'aes256gcm16-prfsha256-x25519',
      'aes256gcm16-x25519',
      'aes_gcm256-sha2_256-dh31',
      'aes_gcm256-none-dh31',
    ],
    [
      ['--suite', 'AES256-SHA256-MODP2048, chacha20poly1305-prfsha512-ecp384'],
      'aes256-sha256-modp2048, chacha20poly1305-prfsha512-ecp384',
      'aes256-sha256-modp2048, chacha20poly1305-ecp384',
      'aes256-sha2_256-dh14,chacha20_poly1305-sha2_512-dh20',
      'aes256-sha2_256-dh14,chacha20_poly1305-none-dh20',
    ],
    [
      ['--esp', 'aes256gmac-x25519', '--esp', 'null-sha256'],
      'aes256gcm16-prfsha256-x25519, aes256-sha256-x25519',
      'aes256gmac-x25519, null-sha256',
      'aes_gcm256-sha2_256-dh31,aes256-sha2_256-dh31',
      'null_auth_aes_gmac256-none-dh31,null-sha2_256',
    ],
  ]
  for (const [n, [words, ike, esp, libreswanIke, libreswanEsp]] of table.entries()) {
    const { out } = await add(data, `peer-${n}`, ...words)
    const conf = read(out, 'swanctl.conf')
    assert.deepEqual([setting(conf, 'proposals'), setting(conf, 'esp_proposals')], [ike, esp])
    const libreswan = read(out, 'ipsec.conf')
    assert.match(libreswan, new RegExp(`^ +ike=${libreswanIke}$`, 'm'))
    assert.match(libreswan, new RegExp(`^ +esp=${libreswanEsp}$`, 'm'))
  }
  const shown = await cli.json<{ ipsec: { ike: string[]; esp: string[] } }>('device', 'show', 'peer-1', '--data', data)
  assert.deepEqual(shown.ipsec.ike, ['aes256-sha256-modp2048', 'chacha20poly1305-prfsha512-ecp384'])
  assert.deepEqual(shown.ipsec.esp, ['aes256-sha256-modp2048', 'chacha20poly1305-ecp384'])
})

test('a request made elsewhere: PEM or DER, from a file or standard input; no key is in the folder', async (t) => {
  const { data } = await openDesk(t, cli)
  const keys = cli.fresh('keys')
  mkdirSync(keys)
  const [key, csr, der] = ['k.pem', 'r.pem', 'r.der'].map((name) => join(keys, name)) as [string, string, string]
  openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-subj', '/CN=whoever/O=Else', '-out', csr)
  openssl('req', '-in', csr, '-outform', 'der', '-out', der)
  const { out } = await add(data, 'router', '--csr', csr, '--days', '30')
  assert.deepEqual(readdirSync(join(out, 'private')), [])
  assert.match(openssl('x509', '-in', join(out, 'x509/adit.crt'), '-noout', '-subject'), /^subject=CN = router$/m)
  assert.equal(openssl('pkey', '-in', key, '-pubout'), openssl('x509', '-in', join(out, 'x509/adit.crt'), '-noout', '-pubkey'))
  await cli.json('device', 'revoke', 'router', '--data', data)

  const again = ['device', 'add', '--ipsec', '--data', data, '--endpoint', 'b.example.net']
  const reused = await cli.run(...again, '--name', 'router', '--csr', der, '--out', cli.fresh())
  assert.equal(reused.status, 3)
  assert.match(reused.err, /\(revoked\)/, 'a revoked key is out for ever')
  openssl('req', '-new', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-subj', '/CN=x', '-out', csr)
  const piped = await cli.runWith(readFileSync(csr, 'utf8'), ...again, '--name', 'piped', '--csr', '-', '--out', cli.fresh())
  assert.equal(piped.status, 0, piped.err)
  openssl('req', '-new', '-newkey', 'ed25519', '-nodes', '-keyout', key, '-subj', '/CN=x', '-outform', 'der', '-out', der)
  const binary = await cli.runWith(readFileSync(der), ...again, '--name', 'binary', '--csr', '-', '--out', cli.fresh())
  assert.equal(binary.status, 0, binary.err)

  const forged = readFileSync(csr, 'utf8').replace(/[A-Za-z0-9+/](?=[A-Za-z0-9+/]{10}\n?=*\n-----END)/, (c) =>
    c === 'A' ? 'B' : 'A',
  )
  openssl('req', '-new', '-newkey', 'rsa:1024', '-nodes', '-keyout', key, '-subj', '/CN=x', '-out', der)
  for (const [name, text] of [
    ['forged', forged],
    ['weak', readFileSync(der, 'latin1')],
    ['noise', 'hello'],
    ['certificate', read(out, 'x509/adit.crt')],
  ] as const) {
    const place = cli.fresh()
    const refused = await cli.runWith(text, ...again, '--name', name, '--csr', '-', '--out', place)
    assert.equal(refused.status, 3, name)
    assert.match(refused.err, /\(request-refused\)/, name)
    assert.equal(existsSync(place), false, name)
  }
  assert.deepEqual(
    (await cli.json<{ name: string }[]>('device', 'list', '--data', data)).map(({ name }) => name),
    ['piped', 'binary'],
  )
})

test('pre-shared keys: made or given, in the folder and in the registry and nowhere else', async (t) => {
  const { data, registry } = await openDesk(t, cli)
  const { out, document } = await add(data, 'rtr', '--psk', 'generate', '--ppk', 'generate')
  const conf = read(out, 'swanctl.conf')
  const made = /^ {4}secret = "([\w-]{43})"$/m.exec(conf)?.[1]
  assert.ok(made, conf)
  assert.equal(JSON.stringify(document).includes(made), false)
  assert.deepEqual(readdirSync(out).sort(), ['ipsec.conf', 'ipsec.secrets', 'parameters.txt', 'swanctl.conf'])
  assert.match(read(out, 'ipsec.secrets'), new RegExp(`^@rtr "CN=adit broker [0-9a-f]{8}" : PSK "${made}"$`, 'm'))
  assert.match(conf, /ppk_id = adit-rtr\n *ppk_required = yes/)
  assert.match(conf, /ppk-adit \{\n *id = adit-rtr\n/)
  assert.equal(statSync(join(out, 'swanctl.conf')).mode & 0o777, 0o600)

  const give = (text: string, name: string, ...words: string[]) =>
    cli.runWith(
      text,
      'device',
      'add',
      '--ipsec',
      '--data',
      data,
      '--name',
      name,
      '--psk',
      '-',
      '--out',
      cli.fresh(name),
      ...words,
    )
  const place = cli.fresh('named')
  const text = "a passphrase's 27 characters"
  const named = await give(
    `${text}\n`,
    'named',
    '--out',
    place,
    '--ike-id',
    'RTR@example.net',
    '--endpoint',
    '[2001:db8::7]:5500',
  )
  assert.equal(named.status, 0, named.err)
  assert.equal(named.out.includes(text), false)
  assert.match(read(place, 'swanctl.conf'), /id = "rtr@example\.net"/)
  assert.deepEqual(
    ['remote_addrs', 'remote_port'].map((key) => setting(read(place, 'swanctl.conf'), key)),
    ['2001:db8::7', '5500'],
  )
  const hex = `0x${Buffer.from(nativeSuite.random(16)).toString('hex')}`
  const other = cli.fresh('hex')
  assert.equal((await give(hex, 'hex', '--out', other)).status, 0)
  assert.match(read(other, 'swanctl.conf'), new RegExp(`secret = ${hex}$`, 'm'))

  const held = (name: string) => Buffer.from(registry.peerSecrets.pskOf(registry.devices.get(name).id) ?? [])
  assert.deepEqual(held('rtr').toString(), made)
  assert.deepEqual(held('named').toString(), text)
  assert.deepEqual(held('hex').toString('hex'), hex.slice(2))

  for (const bad of [
    '',
    'short',
    'x'.repeat(40),
    'nineteen-characters',
    '0xabcd',
    `0x${'00'.repeat(16)}`,
    'quoted "secret" of some length',
    '0sAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    'ünïcödé of a certain length',
    'y'.repeat(600),
  ]) {
    const refused = await give(bad, 'bad')
    assert.equal(refused.status, 2, bad)
    assert.match(refused.err, /pre-shared key .*(\(usage\))/, bad)
    assert.equal(bad.length > 5 && refused.err.includes(bad), false, 'a secret is not repeated')
  }
  const audit = await cli.run('audit', '--data', data, '--json')
  for (const secret of [made, text, hex.slice(2)]) assert.equal(audit.out.includes(secret), false)
})

test('the same beside a running broker: through its socket, the key made on this side of it', async (t) => {
  const { data, registry, asked } = await openDesk(t, cli, { config: 'listen = "127.0.0.1:4511"' })
  const out = cli.fresh()
  const added = await cli.run(
    'device',
    'add',
    '--ipsec',
    '--data',
    data,
    '--name',
    'plant',
    '--subnet',
    '10.8.0.0/16',
    '--out',
    out,
  )
  assert.equal(added.status, 0, added.err)
  assert.match(added.out, /127\.0\.0\.1:4511/)
  assert.deepEqual(
    ['remote_addrs', 'remote_port'].map((key) => setting(read(out, 'swanctl.conf'), key)),
    ['127.0.0.1', '4511'],
  )
  assert.equal(asked.length, 1)
  assert.equal(asked[0]?.includes('PRIVATE'), false)
  assert.deepEqual(registry.devices.get('plant').subnets, ['10.8.0.0/16'])
})

test('bad words: refused in a sentence with a mend, with no folder and no device left behind', async (t) => {
  const { data } = await openDesk(t, cli)
  const full = cli.fresh('full')
  mkdirSync(full)
  writeFileSync(join(full, 'notes'), '')
  await add(data, 'west', '--subnet', '192.168.1.0/24')
  const out = cli.fresh('out')
  const table: [words: string[], status: number, message: RegExp][] = [
    [['--ipsec'], 2, /needs --out/],
    [[], 2, /--wireguard KEY or with --ipsec/],
    [['--ipsec', '--wireguard', 'x', '--out', out], 2, /--wireguard KEY or with --ipsec/],
    [['--wireguard', 'x', '--subnet', '10.0.0.0/8'], 2, /--subnet goes with --ipsec/],
    [['--ipsec', '--out', full], 2, /not empty/],
    [['--ipsec', '--out', out, '--key-type', 'dsa'], 2, /p256, p384, ed25519, rsa3072/],
    [['--ipsec', '--out', out, '--csr', '/nowhere'], 2, /no file \/nowhere/],
    [['--ipsec', '--out', out, '--csr', '-', '--key-type', 'p384'], 2, /no --key-type/],
    [['--ipsec', '--out', out, '--psk', 'hunter2'], 2, /no command line/],
    [['--ipsec', '--out', out, '--psk', 'generate', '--csr', '-'], 2, /no certificate/],
    [['--ipsec', '--out', out, '--psk', '-', '--ppk', '-'], 2, /standard input/],
    [['--ipsec', '--out', out, '--ike-id', 'x'], 2, /--psk/],
    [['--ipsec', '--out', out, '--expires', '3d'], 2, /--days/],
    [['--ipsec', '--out', out, '--days', '4000'], 2, /days/],
    [['--ipsec', '--out', out, '--suite', '3des-sha1-modp1024'], 2, /3des is refused.*Write "/],
    [['--ipsec', '--out', out, '--suite', 'aes256'], 2, /cannot be used/],
    [['--ipsec', '--out', out, '--suite', 'aes256-sha512-x25519-bogus\u001b[2J'], 2, /nobody here knows/],
    [['--ipsec', '--out', out, '--esp', 'aes256-x25519'], 2, /cannot be used/],
    [['--ipsec', '--out', out, '--subnet', '192.168.1.7/24'], 2, /Did you mean 192\.168\.1\.0\/24/],
    [
      ['--ipsec', '--out', out, '--subnet', '192.168.0.0/16'],
      3,
      /192\.168\.0\.0\/16 of pump overlaps 192\.168\.1\.0\/24 of device west/,
    ],
    [['--ipsec', '--out', out, '--subnet', '100.64.9.0/24'], 3, /fleet's own/],
    [['--ipsec', '--out', out, '--reach', 'there'], 2, /--reach is no network/],
    [['--ipsec', '--out', out, '--endpoint', 'a b'], 2, /--endpoint/],
    [['--ipsec', '--out', out, '--endpoint', 'h:99999'], 2, /--endpoint/],
    [['--ipsec', '--out', out, '--name', 'west'], 3, /name west already/],
    [['--ipsec', '--out', out, '--name', 'a/b'], 2, /not allowed/],
    [['--ipsec', '--out', out, '--psk', 'generate', '--ike-id', 'a b'], 2, /IKE identity/],
  ]
  for (const [words, status, message] of table) {
    const name = words.includes('--name') ? [] : ['--name', 'pump']
    const endpoint = words.includes('--ipsec') && !words.includes('--endpoint') ? ['--endpoint', 'b.example.net'] : []
    const refused = await cli.run('device', 'add', '--data', data, ...name, ...endpoint, ...words)
    assert.equal(refused.status, status, `${words.join(' ')}: ${refused.err}${refused.out}`)
    assert.match(refused.err, message, words.join(' '))
    assert.equal(refused.err.trim().split('\n').length, 1, refused.err)
    assert.equal(refused.err.includes('\u001b'), false)
    assert.equal(existsSync(out), false, words.join(' '))
  }
  assert.deepEqual(readdirSync(full), ['notes'])
  assert.deepEqual(
    readdirSync(cli.root).filter((name) => name.startsWith('.')),
    [],
    'no draft',
  )
  assert.deepEqual(
    (await cli.json<{ name: string }[]>('device', 'list', '--data', data)).map(({ name }) => name),
    ['west'],
  )
})

test('a broker that speaks no IPsec registers no such peer', async (t) => {
  const { data } = await openDesk(t, cli, { config: '[ipsec]\nenabled = false\n' })
  const { err } = await cli.run('device', 'add', '--data', data, '--ipsec', '--name', 'x', '--out', cli.fresh())
  assert.match(err, /switched off.*enabled = true.*\(config-invalid\)/)
})

test('a place that fills while the peer is registered: the error says that it is registered, and what to do', async (t) => {
  const out = cli.fresh()
  const { data } = await openDesk(t, cli, { afterwards: () => mkdirSync(join(out, 'in-the-way'), { recursive: true }) })
  const failed = await cli.run('device', 'add', '--ipsec', '--data', data, '--name', 'plant', '--out', out)
  assert.equal(failed.status, 5, failed.err)
  assert.match(failed.err, /registered all the same: adit-broker device revoke plant/)
  assert.deepEqual(readdirSync(out), ['in-the-way'])
})

test('an endpoint is taken at its word; without one the answer says who reaches what was found, as for a WireGuard peer', async () => {
  const config = `${cli.fresh('config')}.toml`
  writeFileSync(config, 'listen = ":4500"\n')
  const at = ['--data', cli.fresh(), '--config', config]
  const key = 'jHO9WQ9cfeWh+qa9oQ9icUMfodxGw0OseSAvMx8sxUc='
  const { extent } = await cli.json<{ extent: string }>('device', 'add', '--name', 'a', '--wireguard', key, ...at)
  const found = await cli.json<{ extent: string }>('device', 'add', '--ipsec', '--name', 'b', '--out', cli.fresh(), ...at)
  assert.equal(found.extent, extent)
  const told = ['--endpoint', '10.0.0.5', '--out', cli.fresh()]
  assert.equal((await cli.json<{ extent: string }>('device', 'add', '--ipsec', '--name', 'c', ...told, ...at)).extent, 'anywhere')
})
