import { type Certificate, parseCertificate } from '#shared/pki/certificate.ts'
import { type ChainOptions, verifyChain } from '#shared/pki/chain.ts'
import { KeyUsage } from '#shared/pki/extensions.ts'
import { checkExpectedName, type ExpectedName } from '#shared/pki/host-name.ts'
import { purposes } from '#shared/pki/oids.ts'
import { decodePem } from '#shared/pki/pem.ts'
import { PkiError, type PkiErrorCode } from '#shared/pki/pki-error.ts'
import { wallTime } from '#shared/time/instant.ts'
import { type Fields, isFields, isFieldsArray, optionalText, textField } from './fields.ts'
import { BrokenFormat, type Verdicts } from './verdict.ts'

/**
 * x509-limbo (C2SP): `{version: 1, testcases: [{id, validation_kind, trusted_certs, untrusted_intermediates, peer_certificate,
 * validation_time, expected_result, …}]}`. Each case is a path to judge. A case is skipped only for what it asks (a feature or a
 * parameter that we do not have), or where it expects SUCCESS and our profile refuses by a rule that is stricter by design.
 */

/** Features that are judged; the schema says to skip cases with others. */
const judgedFeatures = new Set([
  'no-cert-policies',
  'name-constraint-dn',
  'pedantic-webpki',
  'pedantic-webpki-eku',
  'pedantic-webpki-subscriber-key',
  'pedantic-serial-number',
  'pedantic-rfc5280',
  'max-chain-depth',
  'rfc5280-incompatible-with-webpki',
  'denial-of-service',
])

const skippedFeatures: Readonly<Record<string, string>> = {
  'has-crl': 'feature: has-crl (revocation here is the registry’s, by key and serial, not by CRL)',
  'has-cert-policies': 'feature: has-cert-policies (no policy tree is processed; paths that constrain policies are refused)',
  'pedantic-public-suffix-wildcard': 'feature: pedantic-public-suffix-wildcard (no public suffix list is carried)',
}

/** Refusals by design, of paths that a wider profile would accept. */
const profile: Partial<Record<PkiErrorCode, string>> = {
  'peer-is-ca': 'profile: a certificate authority is never accepted as the end entity',
  'policy-unsupported': 'profile: paths with policy constraints or mappings are refused',
  'name-constraint-unsupported': 'profile: name constraints of unimplemented forms refuse the path',
  'algorithm-unsupported': 'algorithm: signatures other than ECDSA, Ed25519 and RSA with SHA-2',
  'key-unsupported': 'algorithm: keys other than P-256, P-384, Ed25519 and RSA of 2048 to 8192 bits',
}

const keyUsageBits: Readonly<Record<string, number>> = { ...KeyUsage, cRLSign: KeyUsage.crlSign }
const purposeNames: Readonly<Record<string, string>> = {
  anyExtendedKeyUsage: purposes.any,
  serverAuth: purposes.serverAuth,
  clientAuth: purposes.clientAuth,
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  OCSPSigning: '1.3.6.1.5.5.7.3.9',
}
const nameKinds: Readonly<Record<string, ExpectedName['kind']>> = { DNS: 'dns', IP: 'ip', RFC822: 'email' }

/** A case that asks for something else than we judge. */
class Skip extends Error {}

export function recognises(_path: string, contents: unknown): boolean {
  return (
    isFields(contents) &&
    isFieldsArray(contents.testcases) &&
    contents.testcases.every((test) => 'peer_certificate' in test && 'expected_result' in test)
  )
}

export function judge(path: string, contents: unknown, verdicts: Verdicts): void {
  if (!isFields(contents) || !isFieldsArray(contents.testcases)) throw new BrokenFormat(`${path} has no testcases`)
  if (contents.version !== undefined && contents.version !== 1) throw new BrokenFormat(`${path} is not of limbo's version 1`)
  for (const test of contents.testcases) judgeCase(path, test, verdicts)
}

function judgeCase(path: string, test: Fields, verdicts: Verdicts): void {
  const id = optionalText(test, 'id') ?? '(no id)'
  const expected = test.expected_result
  if (expected !== 'SUCCESS' && expected !== 'FAILURE') {
    verdicts.fail(path, id, `the expected result "${String(expected)}" is neither SUCCESS nor FAILURE`)
    return
  }
  try {
    checkFeatures(test)
    const refusal = refusalOf(test)
    const byDesign = refusal && expected === 'SUCCESS' ? (profile[refusal.code] ?? nameless(test, refusal)) : undefined
    if (byDesign !== undefined) verdicts.skip(byDesign)
    else if ((refusal === undefined) === (expected === 'SUCCESS')) verdicts.pass()
    else verdicts.fail(path, id, refusal ? `refused (${refusal.code}): ${refusal.message}` : 'accepted')
  } catch (error) {
    if (error instanceof Skip) verdicts.skip(error.message)
    else verdicts.fail(path, id, `threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`)
  }
}

/** A host is sought in DNS and IP alternative names only; a case whose certificate has none of them wants it found elsewhere. */
function nameless(test: Fields, refusal: PkiError): string | undefined {
  if (refusal.code !== 'name-mismatch') return undefined
  const names = readOne(textField(test, 'peer_certificate')).extensions.subjectAltNames?.names ?? []
  if (names.some(({ kind }) => kind === 'dns' || kind === 'ip' || kind === 'email')) return undefined
  return 'profile: the expected name is sought in DNS, IP and mail alternative names only, and the certificate has none'
}

function checkFeatures(test: Fields): void {
  for (const feature of texts(test.features)) {
    if (!judgedFeatures.has(feature)) throw new Skip(skippedFeatures[feature] ?? `feature: ${feature} (unknown)`)
  }
  if (Array.isArray(test.crls) && test.crls.length > 0) throw new Skip(skippedFeatures['has-crl'] as string)
}

/** Why the path of a case is refused; undefined where it is accepted. */
function refusalOf(test: Fields): PkiError | undefined {
  const options = optionsOf(test)
  const allowed = texts(test.signature_algorithms)
  const users = namesOf(test.expected_peer_names)
  try {
    const leaf = readOne(textField(test, 'peer_certificate'))
    const path = verifyChain(leaf, readAll(test.untrusted_intermediates), { ...options, anchors: readAll(test.trusted_certs) })
    for (const user of users) checkExpectedName(leaf, user)
    // The root's own signature is not relied on.
    const signed = path.slice(0, -1).map(({ signatureAlgorithm }) => signatureAlgorithm?.name ?? '(unknown)')
    const stray = allowed.length > 0 ? signed.find((name) => !allowed.includes(name)) : undefined
    return stray === undefined ? undefined : new PkiError('signature-invalid', `${stray} is not among the case's algorithms`)
  } catch (error) {
    if (error instanceof PkiError) return error
    throw error
  }
}

function optionsOf(test: Fields): Omit<ChainOptions, 'anchors'> {
  const kind = test.validation_kind
  if (kind !== 'SERVER' && kind !== 'CLIENT') throw new Skip(`parameter: validation_kind ${String(kind)}`)
  const stated = texts(test.extended_key_usage).map((name) => purposeNames[name] ?? name)
  const now = optionalText(test, 'validation_time')
  const expected = namesOf(test.expected_peer_name == null ? [] : [test.expected_peer_name])[0]
  return {
    now: wallTime(now === undefined ? Date.now() : Date.parse(now)),
    purposes: stated.length > 0 ? stated : [kind === 'SERVER' ? purposes.serverAuth : purposes.clientAuth],
    keyUsage: texts(test.key_usage).reduce((bits, name) => bits | keyUsageBit(name), 0),
    maxDepth: typeof test.max_chain_depth === 'number' ? test.max_chain_depth : 8,
    ...(expected && { expectedName: expected }),
  }
}

function keyUsageBit(name: string): number {
  const bit = keyUsageBits[name.replace(/_(\w)/g, (_, c: string) => c.toUpperCase())]
  if (bit === undefined) throw new Skip(`parameter: key_usage ${name}`)
  return bit
}

function namesOf(value: unknown): ExpectedName[] {
  return (isFieldsArray(value) ? value : []).map((name) => {
    const kind = nameKinds[textField(name, 'kind')]
    if (kind === undefined) throw new Skip(`parameter: peer name of kind ${textField(name, 'kind')}`)
    return { kind, value: textField(name, 'value') }
  })
}

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [])

function readOne(pem: string): Certificate {
  const [der, ...more] = decodePem('CERTIFICATE', pem)
  if (der === undefined || more.length > 0) throw new PkiError('certificate-malformed', 'not one certificate in PEM')
  return parseCertificate(der)
}

/** Certificates that cannot be read are none that a path could use. */
function readAll(pems: unknown): Certificate[] {
  return texts(pems).flatMap((pem) => {
    try {
      return [readOne(pem)]
    } catch (error) {
      if (error instanceof PkiError) return []
      throw error
    }
  })
}
