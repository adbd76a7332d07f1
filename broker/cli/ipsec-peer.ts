import type { Extent } from '#broker/admin/office.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { AditError, toAditError } from '#shared/errors.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { readIfPresent } from '#shared/platform/files.ts'
import { printable } from '#shared/terminal/printable.ts'
import { shellWord } from '#shared/terminal/shell-word.ts'
import { endpointText } from '#shared/wire/endpoint.ts'
import { extentNote } from './extent-note.ts'
import { NewFolder } from './io/new-folder.ts'
import { makePeerKey } from './io/peer-key.ts'
import { type KeyType, keyTypes } from './key-type.ts'
import type { Terminal } from './terminal.ts'
import { type Desk, usage } from './verb.ts'

/** What `device add --ipsec` was given. */
export interface IpsecOptions {
  name: string
  out?: string
  csr?: string
  keyType?: KeyType
  psk?: string
  ppk?: string
  ikeId?: string
  subnet?: string[]
  reach?: string[]
  suite?: string[]
  esp?: string[]
  tag?: string[]
  endpoint?: string
  days?: number
  expires?: number
}

interface Answer {
  name: string
  addresses: string[]
  subnets: string[]
  broker: { host: string; port: number; id: string }
  extent: Extent
  files: { path: string; text: string }[]
}

/**
 * Registers the peer and writes its folder. The private key is made and stays here; the broker sees a request. The folder appears under its
 * name when everything in it is on disk.
 */
export async function addIpsecPeer(desk: Desk, options: IpsecOptions, terminal: Pick<Terminal, 'err'>): Promise<void> {
  checkTogether(options)
  checkName(options.name)
  const { out = '' } = options
  const folder = await NewFolder.begin(out)
  let registered = false
  try {
    const request = await requestFor(desk, options, folder)
    const { files, ...device } = await desk.ask<Answer>('device.add-ipsec', { ...request, ...words(options) })
    registered = true
    for (const { path, text } of files) await folder.write(path, text)
    await folder.finish()
    desk.print({ ...device, folder: folder.path }, describe)
    if (!desk.json) terminal.err(extentNote(device.extent, endpointText(placeOf(device)), mendOf(options)))
  } catch (error) {
    await folder.discard()
    if (!registered) throw error
    const { code, message } = toAditError(error)
    const mend = `The peer is registered all the same: adit-broker device revoke ${options.name}, then try again.`
    throw new AditError(code, message, mend, { cause: error })
  }
}

function checkTogether({ out, csr, keyType, psk, ppk, ikeId, days, expires }: IpsecOptions): void {
  const bad = (message: string): AditError => usage(message, 'device add')
  if (out === undefined) throw bad('An IPsec peer needs --out FOLDER, where its files are put.')
  if (psk !== undefined && (csr ?? keyType ?? days) !== undefined)
    throw bad('A peer with --psk has no certificate: no --csr, --key-type, --days.')
  if (csr !== undefined && keyType !== undefined) throw bad('--csr has its key already: no --key-type.')
  if (psk === undefined && ikeId !== undefined) throw bad('--ike-id is for a peer with --psk: a certificate has its own name.')
  if (psk === undefined && expires !== undefined) throw bad('--expires is for a peer with --psk: a certificate lasts --days.')
  if ([psk, ppk, csr].filter((value) => value === '-').length > 1) throw bad('Only one thing can come from standard input.')
  for (const given of [psk, ppk]) {
    if (given === undefined || given === '-' || given === 'generate') continue
    throw bad('A secret stands in no command line: say generate, or - and give it on standard input.')
  }
}

/** What proves the peer: a request, of a key that is put into the folder or of one elsewhere, or a secret. */
async function requestFor(desk: Desk, options: IpsecOptions, folder: NewFolder): Promise<object> {
  const ppk = options.ppk === undefined ? {} : { ppk: await secret(desk, options.ppk) }
  if (options.psk !== undefined) return { psk: await secret(desk, options.psk), ...ppk }
  await folder.makeFolder('private')
  if (options.csr !== undefined) return { request: await readRequest(desk, options.csr), ...ppk }
  const { privateKey, request } = makePeerKey(options.keyType ?? keyTypes[0], checkName(options.name))
  await folder.write('private/adit.key', privateKey)
  return { request: encodePem('CERTIFICATE REQUEST', request), ...ppk }
}

async function secret(desk: Desk, given: string): Promise<'generate' | { text: string }> {
  return given === 'generate' ? 'generate' : { text: await desk.readInput() }
}

/** PEM as it is, DER put into it. */
async function readRequest(desk: Desk, path: string): Promise<string> {
  const bytes = path === '-' ? await desk.readInputBytes() : await readIfPresent(path)
  if (bytes === undefined) throw usage(`There is no file ${path}.`, 'device add')
  return bytes[0] === 0x30 ? encodePem('CERTIFICATE REQUEST', bytes) : Buffer.from(bytes).toString('latin1')
}

const words = ({ name, ikeId, subnet, reach, suite, esp, tag, endpoint, days, expires }: IpsecOptions): object => ({
  name,
  identity: ikeId,
  subnets: subnet,
  reach,
  suites: suite,
  esp,
  tags: tag,
  endpoint,
  days,
  lasting: expires,
})

const placeOf = ({ broker: { host, port } }: Pick<Answer, 'broker'>): { address: string; port: number } => ({
  address: host,
  port,
})

const mendOf = ({ name }: IpsecOptions): string =>
  `revoke it (adit-broker device revoke ${name}) and add it again with --endpoint HOST, or with public-endpoints in config.toml and the broker restarted.`

const describe = ({ name, addresses, subnets, broker, folder }: Omit<Answer, 'files'> & { folder: string }): string =>
  `${printable(
    `${name} is registered (${[...addresses, ...subnets].join(' ')}); what it needs to reach ${endpointText(placeOf({ broker }))} is in ${folder}`,
  )}\nstrongSwan: swanctl --load-all --file ${printable(shellWord(`${folder}/swanctl.conf`))} && swanctl --initiate --child adit\n`
