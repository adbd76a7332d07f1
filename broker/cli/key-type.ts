/** Kinds of key that are made for a stock IPsec peer; the first unless another is asked for. */
export const keyTypes = ['p256', 'p384', 'ed25519', 'rsa3072'] as const
export type KeyType = (typeof keyTypes)[number]
