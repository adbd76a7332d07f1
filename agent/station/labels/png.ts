import { crc32, deflateSync } from 'node:zlib'
import type { Bitmap } from './bitmap.ts'

/** PNG (ISO/IEC 15948) of one bit a dot in greyscale, with its resolution, so that it prints at its true size. */
export function encodePng(bitmap: Bitmap, dpi: number): Uint8Array {
  const { width, height, stride, bytes } = bitmap
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  // Depth 1, colour type 0 (greyscale); deflate, adaptive filtering, not interlaced.
  header.set([1, 0, 0, 0, 0], 8)
  const density = Buffer.alloc(9)
  const dotsPerMetre = Math.round(dpi / 0.0254)
  density.writeUInt32BE(dotsPerMetre, 0)
  density.writeUInt32BE(dotsPerMetre, 4)
  density[8] = 1
  const rows = Buffer.alloc((stride + 1) * height)
  for (let row = 0; row < height; row++)
    // Filter 0 (none) before each row; in greyscale 1 is white.
    for (let at = 0; at < stride; at++) rows[row * (stride + 1) + 1 + at] = ~bytes[row * stride + at]! & 0xff
  const chunks = [chunk('IHDR', header), chunk('pHYs', density), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]
  return new Uint8Array(Buffer.concat([signature, ...chunks]))
}

const signature = Buffer.from('89504e470d0a1a0a', 'hex')

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const out = Buffer.alloc(body.length + 8)
  out.writeUInt32BE(data.length, 0)
  body.copy(out, 4)
  out.writeUInt32BE(crc32(body), body.length + 4)
  return out
}
