/** Where a session's keys and salts stand in the block that the main thread keeps of them. Bytes. */
export const KEY_BLOCK = { send: 0, receive: 32, sendSalt: 64, receiveSalt: 68, length: 72 } as const
