/**
 * The broker's word that an end is let in no longer, to those who may hold an association with it past the broker (DESIGN D6, D12): one
 * datagram of inner UDP from the broker's own inner address with the tunnel key of that end, and nothing else. It can close, never open.
 */
export const WITHDRAWAL_PORT = 4502

/** Bytes: an X25519 public key. */
export const WITHDRAWAL_LENGTH = 32
