import crypto from 'node:crypto'

/** Drawn at a time: one call into OpenSSL costs as much as fifty short draws from here. */
const poolLength = 2048
/** Longer draws go to OpenSSL directly. */
const mostFromPool = 64

const pool = new Uint8Array(poolLength)
let next = poolLength

/** What has been handed out is gone from the pool: whoever reads our memory later finds no nonce or key of before. */
export function random(length: number): Uint8Array {
  const out = new Uint8Array(length)
  if (length > mostFromPool) return crypto.randomFillSync(out)
  if (next + length > poolLength) {
    crypto.randomFillSync(pool)
    next = 0
  }
  const end = next + length
  for (let i = 0; next < end; i++, next++) {
    out[i] = pool[next] as number
    pool[next] = 0
  }
  return out
}
