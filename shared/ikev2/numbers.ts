/** Of our nonces, bytes: at least half the key of every PRF that we speak (RFC 7296 §2.10). */
export const NONCE_LENGTH = 32

/**
 * In the first message: longer than need be, so that the message is no shorter than its answer with the hashes of two authorities. A
 * responder that owes a stranger no more bytes than he sent then asks for no cookie (P-12).
 */
export const FIRST_NONCE_LENGTH = 64
