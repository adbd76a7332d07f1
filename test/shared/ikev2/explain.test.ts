import assert from 'node:assert/strict'
import test from 'node:test'
import { parse } from 'smol-toml'
import {
  explainCritical,
  explainLifetime,
  explainMismatch,
  explainOwnerRefusal,
  explainRefusal,
  explainSelectors,
  explainSyntax,
  explainTimeout,
  explainUnusable,
} from '#shared/ikev2/explain.ts'
import { explainAuthentication, explainCertificate, explainOwnKey } from '#shared/ikev2/explain-authentication.ts'
import type { Circumstance } from '#shared/ikev2/failure-record.ts'
import { parseId } from '#shared/ikev2/identity.ts'
import type { NegotiationFailure } from '#shared/ikev2/negotiation-failure.ts'
import { agentWords } from '#shared/ikev2/own-words.ts'
import { defaultEspProposals, defaultIkeProposals, offerOf, parseProposal, parseProposals } from '#shared/ikev2/proposal.ts'
import { selectProposal } from '#shared/ikev2/select-proposal.ts'
import { parseSelector } from '#shared/ikev2/selector-text.ts'
import { verifyChain } from '#shared/pki/chain.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { minutes, seconds } from '#shared/time/instant.ts'
import { NotifyType, ProtocolId } from '#shared/wire/ike-numbers.ts'
import type { Proposal } from '#shared/wire/ike-payload/payload.ts'
import { type Made, makeCa, makeLeaf, makeRoot, now } from '#test/shared/pki/built-chain.ts'

const { Ike, Esp } = ProtocolId
const at: Circumstance = { endpoint: { address: '192.0.2.9', port: 4500 }, claimedId: parseId('CN=pump, O=adit') }

function mismatch(offered: readonly Proposal[], allowed: readonly Proposal[], protocol: number, withoutKeyExchange = false) {
  const selection = selectProposal(offered, allowed, protocol, { withoutKeyExchange })
  assert.ok('mismatch' in selection)
  return selection.mismatch
}

/** `aes256-sha1-modp1024`, as a peer of yesterday sends it. */
const yesterday: Proposal = {
  number: 1,
  protocol: Ike,
  spi: new Uint8Array(),
  transforms: [
    { type: 1, id: 12, keyLength: 256 },
    { type: 2, id: 2 },
    { type: 3, id: 2 },
    { type: 4, id: 2 },
  ],
}

const complete = (failure: NegotiationFailure): void => {
  for (const text of [failure.message, failure.mendHere, failure.mendThere]) {
    assert.ok(text.length > 10, JSON.stringify(failure))
    assert.doesNotMatch(text, /undefined|\[object|\n|NaN/)
  }
  assert.match(failure.message, /^["A-Z0-9].*[.!?…]$/)
}

test('no proposal chosen: offered, allowed, nearest, and what to change at either end', () => {
  const failure = explainMismatch('init', mismatch([yesterday], defaultIkeProposals, Ike), at)
  complete(failure)
  assert.equal(failure.code, 'no-proposal-chosen')
  assert.deepEqual(failure.offered, ['aes256-sha1-modp1024'])
  assert.equal(failure.allowed.length, 2)
  assert.deepEqual(failure.nearest, {
    offered: 'aes256-sha1-modp1024',
    allowed: 'aes256-sha256-modp2048',
    differs: 'integrity sha1 vs sha256, group modp1024 vs modp2048',
  })
  assert.match(failure.message, /sha1 is refused: SHA-1 is broken.*modp1024 is refused/)
  assert.match(failure.mendThere, /connections\.adit: proposals = aes256-sha256-modp2048$/)
  assert.match(failure.mendHere, /^nothing/, 'no setting here allows SHA-1')
})

test('no proposal chosen: where a setting here could allow it, it stands there as it is to be written', () => {
  const offered = offerOf(parseProposals(['aes256-sha512-ecp384'], Ike), new Uint8Array())
  const strict = explainMismatch('init', mismatch(offered, parseProposals(['aes256gcm16-prfsha256-x25519'], Ike), Ike), at)
  const [, setting = ''] = /section \[ipsec\]: (.*)$/.exec(strict.mendHere) ?? []
  assert.deepEqual({ ...parse(setting) }, { 'ike-proposals': ['aes256gcm16-prfsha256-x25519', 'aes256-sha512-ecp384'] })
  const allowed = parseProposals(parse(setting)['ike-proposals'] as string[], Ike)
  assert.ok('chosen' in selectProposal(offered, allowed, Ike), 'with the setting it is chosen')
  const gmac = offerOf(parseProposals(['aes256gmac'], Esp), Uint8Array.of(200, 0, 0, 1))
  const child = explainMismatch('child', mismatch(gmac, defaultEspProposals, Esp), at)
  assert.match(child.mendHere, /esp-proposals = \["default", "aes256gmac"\]/)
})

test('what is to be written there is chosen, whatever was offered', () => {
  const odd = [
    'aes256-sha256-modp2048',
    'aes128gcm16-prfsha512-ecp521',
    'chacha20poly1305-prfsha256-modp4096',
    'aes256-sha384-x25519',
  ]
  for (const allowText of odd) {
    const allowed = parseProposals([allowText], Ike)
    for (const offer of [yesterday, ...offerOf(parseProposals(odd, Ike), new Uint8Array())]) {
      const selection = selectProposal([offer], allowed, Ike)
      if ('chosen' in selection) continue
      const failure = explainMismatch('init', selection.mismatch, at)
      complete(failure)
      const [, text = ''] = /proposals = (.*)$/.exec(failure.mendThere) ?? []
      assert.ok('chosen' in selectProposal([parseProposal(text, Ike)], allowed, Ike), `${text} for ${allowText}`)
    }
  }
})

test('no proposal chosen for the first Child SA: the group belongs into the line, though it was not offered yet', () => {
  const tripleDes: Proposal = {
    ...yesterday,
    protocol: Esp,
    spi: Uint8Array.of(200, 0, 0, 1),
    transforms: [
      { type: 1, id: 3 },
      { type: 3, id: 2 },
      { type: 5, id: 0 },
    ],
  }
  const failure = explainMismatch('auth', mismatch([tripleDes], defaultEspProposals, Esp, true), at)
  complete(failure)
  assert.equal(failure.nearest?.differs, 'encryption 3des vs aes256, integrity sha1 vs sha256')
  assert.match(failure.mendThere, /connections\.adit\.children\.adit: esp_proposals = aes256-sha256-x25519$/)
})

test('a rekey without the PFS that is demanded says so', () => {
  const offered = offerOf(parseProposals(['aes256gcm16'], Esp), Uint8Array.of(200, 0, 0, 1))
  const failure = explainMismatch('rekey', mismatch(offered, defaultEspProposals, Esp), at)
  assert.equal(failure.nearest?.differs, 'group none vs x25519')
  assert.match(failure.mendThere, /esp_proposals = aes256gcm16-x25519$/)
  assert.match(failure.mendHere, /esp-proposals = \["default", "aes256gcm16"\]/)
})

test('nothing offered, nothing allowed, AH, and thousands of transforms', () => {
  complete(explainMismatch('init', mismatch([], defaultIkeProposals, Ike), at))
  complete(explainMismatch('init', mismatch([yesterday], [], Ike), at))
  const ah = explainMismatch('child', mismatch([{ ...yesterday, protocol: 2 }], defaultEspProposals, Esp), at)
  complete(ah)
  assert.match(ah.message, /AH, which cannot cross a NAT/)
  const many = Array.from({ length: 32 }, (_, i) => ({
    ...yesterday,
    number: i + 1,
    transforms: Array.from({ length: 255 }, (_, id) => ({ type: id % 7, id: id * 97, keyLength: id })),
  }))
  const failure = explainMismatch('init', mismatch(many, defaultIkeProposals, Ike), at)
  complete(failure)
  assert.ok(JSON.stringify(failure).length < 16_000, String(JSON.stringify(failure).length))
})

test('an agent has words of its own', () => {
  const failure = explainMismatch(
    'init',
    mismatch([parseProposal('aes256-sha256-modp2048', Ike)], parseProposals(['aes256gcm16-prfsha256-x25519'], Ike), Ike),
    { ...at, context: { proposals: [], words: agentWords } },
  )
  assert.match(failure.mendHere, /^nothing: this agent/)
})

test('selectors: what was asked, what may be had, and the line for both sides', () => {
  const pair = (local: string, remote: string) => ({ local: [parseSelector(local)], remote: [parseSelector(remote)] })
  const failure = explainSelectors('auth', pair('0.0.0.0/0', '172.31.0.0/16'), pair('10.0.0.0/8', '192.168.1.0/24'), at)
  complete(failure)
  assert.equal(failure.code, 'selectors-unacceptable')
  assert.match(failure.message, /asks for 172\.31\.0\.0\/16 === 0\.0\.0\.0\/0, it may have 192\.168\.1\.0\/24 === 10\.0\.0\.0\/8/)
  assert.match(failure.mendThere, /local_ts = 192\.168\.1\.0\/24; remote_ts = 10\.0\.0\.0\/8/)
  assert.match(failure.mendHere, /--subnet 172\.31\.0\.0\/16/)
})

test('selectors: of a peer that asks for what nobody has the mend is who has it, not all addresses there are', () => {
  const asked = { local: [parseSelector('203.0.113.0/24')], remote: [parseSelector('0.0.0.0/0')] }
  const may = { local: [parseSelector('10.0.0.0/8')], remote: [parseSelector('192.168.1.0/24')] }
  const { mendHere, mendThere } = explainSelectors('auth', asked, may, at)
  assert.match(mendHere, /^adit-broker device add --ipsec --name SITE --subnet 203\.0\.113\.0\/24 --out FOLDER/)
  assert.match(mendThere, /remote_ts = 10\.0\.0\.0\/8$/)
  assert.match(
    explainSelectors('auth', asked, may, { ...at, context: { proposals: [], words: agentWords } }).mendHere,
    /^nothing/,
  )
})

test('hundreds of networks make no endless sentence', () => {
  const many = Array.from({ length: 255 }, (_, i) => parseSelector(`10.${i}.0.0/16`))
  const failure = explainSelectors('auth', { local: many, remote: many }, { local: many, remote: many.slice(0, 1) }, at)
  complete(failure)
  assert.ok(JSON.stringify(failure).length < 4_000)
  assert.match(failure.message, /and 249 more/)
  assert.match(failure.mendThere, /remote_ts = 0\.0\.0\.0\/0, ::\/0$/)
})

/** The refusal of a chain by path validation. */
function refusal(leaf: Made, between: readonly Made[], root: Made, revoked = false): PkiError {
  try {
    verifyChain(
      leaf.certificate,
      between.map(({ certificate }) => certificate),
      {
        anchors: [root.certificate],
        now,
        purposes: [],
        isRevoked: () => revoked,
      },
    )
  } catch (error) {
    if (error instanceof PkiError) return error
  }
  throw new Error('the chain is good')
}

test('a refused certificate: which one, which step, its dates', () => {
  const root = makeRoot()
  const ca = makeCa(root)
  const explain = (leaf: Made, between: readonly Made[], error: PkiError): NegotiationFailure => {
    const failure = explainCertificate(
      error,
      [leaf, ...between].map(({ certificate }) => certificate.der),
      at,
      now,
    )
    complete(failure)
    return failure
  }
  const old = makeLeaf(ca, { notAfter: now - 86_400_000 })
  const expired = explain(old, [ca], refusal(old, [ca], root))
  assert.equal(expired.code, 'certificate-refused')
  assert.match(
    expired.message,
    /certificate "CN=broker\.example\.com" \(serial \w+, by "CN=ca \d+"\).*its time is over.*valid from 2026-01-01T00:00:00Z to 2026-06-30T00:00:00Z, judged at 2026-07-01/,
  )

  const oldCa = makeCa(root, { notAfter: now - 1_000 })
  const below = makeLeaf(oldCa)
  assert.match(
    explain(below, [oldCa], refusal(below, [oldCa], root)).message,
    /certificate "CN=ca \d+"/,
    'the intermediate is named, not the leaf',
  )

  const early = makeLeaf(ca, { notBefore: now + 86_400_000 })
  const clock = explain(early, [ca], refusal(early, [ca], root))
  assert.equal(clock.code, 'clock')
  assert.match(clock.mendHere, /clock/)

  const stranger = makeLeaf(makeRoot())
  const foreign = explain(stranger, [], refusal(stranger, [], root))
  assert.match(foreign.message, /no path leads from it|not by the key of the CA/)
  assert.match(foreign.mendHere, /device add --ipsec/)

  const good = makeLeaf(ca)
  assert.match(explain(good, [ca], refusal(good, [ca], root, true)).message, /is revoked/)
  complete(explainCertificate(new PkiError('der-malformed', 'DER: nonsense'), [Uint8Array.of(1, 2, 3)], at))
  complete(explainCertificate(new PkiError('certificate-malformed', 'no certificate'), [], at))
})

test('every other way to fail has its code, a sentence and two mends', () => {
  const leaf = makeLeaf(makeRoot()).certificate
  const pair = { local: [], remote: [] }
  const all: readonly (readonly [NegotiationFailure['code'], NegotiationFailure])[] = [
    ['certificate-refused', explainAuthentication({ kind: 'no-certificate' }, at)],
    [
      'signature-invalid',
      explainAuthentication({ kind: 'signature', why: 'the signature is not by its key', certificate: leaf }, at),
    ],
    ['unknown-peer', explainAuthentication({ kind: 'unknown-identity' }, at)],
    ['psk-mismatch', explainAuthentication({ kind: 'shared-key' }, at)],
    ['identity-mismatch', explainAuthentication({ kind: 'identity', names: ['CN=pump-7'] }, at)],
    ['identity-mismatch', explainAuthentication({ kind: 'unexpected', expected: parseId('broker.example') }, at)],
    ['certificate-refused', explainOwnKey('Ed25519', at)],
    ['selectors-unacceptable', explainSelectors('auth', pair, pair, at)],
    ['syntax', explainUnusable('auth', 'it has no proof', at)],
    ['syntax', explainSyntax('init', 'an empty nonce', at)],
    ['critical-payload', explainCritical('auth', 201, at)],
    ['timeout', explainTimeout('init', seconds(65), 7, at)],
    ['lifetime', explainLifetime('Child SA', minutes(10), minutes(57), at)],
    ['lifetime', explainLifetime('IKE SA', minutes(10), minutes(240), at)],
    ['refused', explainOwnerRefusal({ refused: 'the peer is revoked', mendHere: '', mendThere: '' }, at)],
    ['peer-refused-us', explainRefusal('auth', NotifyType.AuthenticationFailed, at)],
    ['no-proposal-chosen', explainRefusal('init', NotifyType.NoProposalChosen, at)],
    ['selectors-unacceptable', explainRefusal('auth', NotifyType.TsUnacceptable, at)],
  ]
  for (const [code, failure] of all) {
    assert.equal(failure.code, code)
    complete(failure)
    assert.deepEqual(failure.from, at.endpoint)
    assert.equal(failure.claimedId, 'CN=pump, O=adit')
  }
  for (let type = 0; type < 60; type++) complete(explainRefusal('auth', type, { endpoint: undefined }))
  assert.match(explainTimeout('init', seconds(65), 7, at).message, /192\.0\.2\.9 port 4500 in 1m5s, asked 7 times/)
})

test('what we had proposed stands beside the refusal of it', () => {
  const own = {
    ...at,
    context: { proposals: parseProposals(['aes256gcm16-prfsha256-x25519'], Ike) },
    childPolicy: {
      proposals: parseProposals(['aes256gcm16-x25519-esn'], Esp),
      localSelectors: [parseSelector('fd00::7')],
      remoteSelectors: [parseSelector('10.0.0.0/8')],
    },
  }
  assert.deepEqual(explainRefusal('init', NotifyType.NoProposalChosen, own).offered, ['aes256gcm16-prfsha256-x25519'])
  assert.deepEqual(explainRefusal('child', NotifyType.NoProposalChosen, own).offered, ['aes256gcm16-x25519-esn'])
  const selectors = explainRefusal('child', NotifyType.TsUnacceptable, own)
  assert.deepEqual(selectors.offered, ['here fd00::7/128', 'peer 10.0.0.0/8'])
  assert.match(selectors.message, /fd00::7\/128/)
})

test('A-77 what a stranger claims to be cannot move the cursor', () => {
  const hostile = { type: 11, data: Uint8Array.from(Buffer.from('\u001b[2J\u202epump')) }
  const failure = explainAuthentication({ kind: 'unknown-identity' }, { ...at, claimedId: hostile })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  assert.doesNotMatch(JSON.stringify(Object.values(failure)), /[\u0000-\u001f\u202e]/)
  const long = { type: 11, data: new Uint8Array(60_000).fill(65) }
  assert.ok(JSON.stringify(explainAuthentication({ kind: 'identity', names: [] }, { ...at, claimedId: long })).length < 8_000)
})
