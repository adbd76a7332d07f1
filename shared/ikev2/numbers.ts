/** Of our nonces, bytes: at least half the key of every PRF that we speak (RFC 7296 §2.10). */
export const NONCE_LENGTH = 32
