import type { StoreContext, WriteTransaction } from './store-context.ts'

/** A postquantum pre-shared key (RFC 8784) with the name under which both ends know it. */
export interface Ppk {
  readonly id: string
  readonly key: Uint8Array
}

/**
 * The secrets of stock IPsec peers, in memory by principal, so that a handshake asks synchronously. On disk they lie in the clear in
 * DATA/adit.db (0600 in a folder of 0700, as the CA's keys do): IKE computes with the bytes themselves, and a key to wrap them
 * with would lie beside them. They stand apart from `Principal`, which is shown, logged and handed about, and end with its revocation.
 */
export class PeerSecrets {
  readonly #psk = new Map<number, Uint8Array>()
  readonly #ppk = new Map<number, Ppk>()
  readonly #byPpkId = new Map<string, number>()

  static async load({ db }: Pick<StoreContext, 'db'>): Promise<PeerSecrets> {
    const secrets = new PeerSecrets()
    const rows = await db.selectFrom('ipsec_peers').select(['principal_id', 'psk', 'ppk_id', 'ppk']).execute()
    for (const { principal_id, psk, ppk_id, ppk } of rows) {
      if (psk !== null) secrets.#psk.set(principal_id, Uint8Array.from(psk))
      if (ppk !== null && ppk_id !== null) secrets.#putPpk(principal_id, { id: ppk_id, key: Uint8Array.from(ppk) })
    }
    return secrets
  }

  /** The pre-shared key: 16 bytes or more. Borrowed. */
  pskOf(principalId: number): Uint8Array | undefined {
    return this.#psk.get(principalId)
  }

  ppkOf(principalId: number): Ppk | undefined {
    return this.#ppk.get(principalId)
  }

  /** Whose PPK bears this name. */
  ownerOfPpk(id: string): number | undefined {
    return this.#byPpkId.get(id)
  }

  /** After the commit. The bytes become this object's own. */
  put(principalId: number, { psk, ppk }: { psk?: Uint8Array; ppk?: Ppk }): void {
    if (psk) this.#psk.set(principalId, psk)
    if (ppk) this.#putPpk(principalId, ppk)
  }

  /** After the commit of a revocation: wipes what was held. */
  forget(principalId: number): void {
    this.#psk.get(principalId)?.fill(0)
    this.#psk.delete(principalId)
    const ppk = this.#ppk.get(principalId)
    if (ppk === undefined) return
    ppk.key.fill(0)
    this.#ppk.delete(principalId)
    this.#byPpkId.delete(ppk.id)
  }

  #putPpk(principalId: number, ppk: Ppk): void {
    this.#ppk.set(principalId, ppk)
    this.#byPpkId.set(ppk.id, principalId)
  }
}

/** Within the transaction that revokes the peer. */
export async function eraseSecrets(transaction: WriteTransaction, principalId: number): Promise<void> {
  await transaction
    .updateTable('ipsec_peers')
    .set({ psk: null, ppk_id: null, ppk: null })
    .where('principal_id', '=', principalId)
    .execute()
}
