import { toHex } from '#shared/bytes/hex.ts'
import { checkName, escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import { tryParseAddress } from '#shared/wire/ip-address.ts'
import { writeAudit } from './audit-log.ts'
import { type CertificateRecord, insertCertificates } from './certificates.ts'
import { enlist } from './enlist.ts'
import { checkLabels } from './label.ts'
import type { Ppk } from './peer-secrets.ts'
import type { Principal } from './principal.ts'
import { loadPrincipal } from './principal-rows.ts'
import type { StoreContext, WriteTransaction } from './store-context.ts'
import { checkSubnets } from './subnet-plan.ts'

export interface NewIpsecPeer {
  name: string
  /** How it proves itself: a certificate that was just issued to it, or a pre-shared key of 16 bytes or more. */
  proof: { certificate: Omit<CertificateRecord, 'principalId'> } | { psk: Uint8Array }
  /** The IKE identity that it claims, as text; `CN=NAME` with a certificate and the name without unless said otherwise. */
  identity?: string
  ppk?: Ppk
  subnets?: readonly string[]
  /** Proposals as strongSwan writes them, checked by the caller; empty: the broker's own. */
  ikeProposals?: readonly string[]
  espProposals?: readonly string[]
  tags?: readonly string[]
  /** Wall-clock ms: of a PSK peer; a certificate has its own end. */
  expiresAt?: number
}

/** Bytes of a secret, from 128 bits. */
export const leastSecretBytes = 16
export const mostSecretBytes = 256

/** Host names, addresses and mail addresses: what IKE identities of PSK peers look like. */
const identityPattern = /^[a-z0-9][a-z0-9._-]{0,252}$|^[a-z0-9._+-]{1,64}@[a-z0-9.-]{1,189}$/

/** Stock IPsec peers: strongSwan, libreswan, routers. */
export class IpsecPeerStore {
  readonly #context: StoreContext

  constructor(context: StoreContext) {
    this.#context = context
  }

  /**
   * Adds the device with its certificate or secret, its subnets and its suites, all or nothing. Throws AditError `name-taken`,
   * `subnet-taken`, `already-enrolled` or `revoked` (key in use), `usage`.
   */
  async add(peer: NewIpsecPeer, actor = 'broker'): Promise<Principal> {
    const { db, clock, addresses, secrets, suite } = this.#context
    const name = checkName(peer.name)
    const tags = checkLabels('tag', peer.tags ?? [])
    const subnets = checkSubnets(peer.subnets ?? [], addresses.fleet)
    const certificate = 'certificate' in peer.proof ? peer.proof.certificate : undefined
    const psk = 'psk' in peer.proof ? checkSecret('pre-shared key', peer.proof.psk) : undefined
    const identity = certificate ? (peer.identity ?? `CN=${name}`) : checkIdentity(peer.identity ?? name)
    if (peer.ppk) checkSecret('postquantum pre-shared key', peer.ppk.key)
    const pskKey = psk && toHex(suite.random(32))
    const principal = await db.transaction().execute(async (transaction) => {
      if (psk) await assertIdentityFree(transaction, identity)
      const { id } = await enlist(this.#context, transaction, {
        kind: 'device',
        name,
        ...(certificate && { spkiSha256: certificate.spkiSha256Hex }),
        ...(pskKey !== undefined && { addressSeed: pskKey }),
        subnets,
        tags,
        groups: [],
        admin: false,
        stock: true,
        expiresAt: certificate?.notAfter ?? peer.expiresAt ?? null,
      })
      if (certificate) await insertCertificates(transaction, [{ ...certificate, principalId: id }], clock.wall())
      const row = {
        principal_id: id,
        identity,
        psk_key: pskKey ?? null,
        psk: psk ?? null,
        ppk_id: peer.ppk?.id ?? null,
        ppk: peer.ppk?.key ?? null,
        ike_proposals: JSON.stringify(peer.ikeProposals ?? []),
        esp_proposals: JSON.stringify(peer.espProposals ?? []),
      }
      await transaction.insertInto('ipsec_peers').values(row).execute()
      const added = await loadPrincipal(transaction, id)
      const detail = {
        ipsec: certificate ? { serial: certificate.serialHex } : 'psk',
        identity,
        addresses: added.addresses,
        ...(subnets.length > 0 && { subnets }),
      }
      await writeAudit(transaction, clock.wall(), {
        actor,
        action: 'device.add',
        subject: `device:${name}`,
        detail,
        deviceId: id,
      })
      return added
    })
    secrets.put(principal.id, { ...(psk && { psk: Uint8Array.from(psk) }), ...(peer.ppk && { ppk: { ...peer.ppk } }) })
    this.#context.changed({ kind: 'added', principal })
    return principal
  }
}

async function assertIdentityFree(transaction: WriteTransaction, identity: string): Promise<void> {
  const holder = await transaction
    .selectFrom('ipsec_peers')
    .innerJoin('principals', 'principals.id', 'ipsec_peers.principal_id')
    .select('principals.name')
    .where('ipsec_peers.identity', '=', identity)
    .where('ipsec_peers.psk_key', 'is not', null)
    .where('principals.revoked_at', 'is', null)
    .executeTakeFirst()
  if (!holder) return
  const message = `The IKE identity ${identity} is that of device ${holder.name} already.`
  throw new AditError('name-taken', message, 'Give the peer an identity of its own: --ike-id ID.')
}

/** Lower case, as it is compared. */
function checkIdentity(text: string): string {
  const identity = text.toLowerCase()
  if (identityPattern.test(identity) || tryParseAddress(identity) !== undefined) return identity
  const mend = 'Give a host name, a mail address or an IP address, as the peer sends it.'
  throw new AditError('usage', `"${escapeText(text)}" cannot be an IKE identity.`, mend)
}

function checkSecret(what: string, secret: Uint8Array): Uint8Array {
  if (secret.length >= leastSecretBytes && secret.length <= mostSecretBytes) return secret
  const message = `The ${what} has ${secret.length} bytes; ${leastSecretBytes} to ${mostSecretBytes} are allowed.`
  throw new AditError('usage', message, 'Have one made: --psk generate.')
}
