/** A picture of black and white dots, white to begin with; rows padded to whole bytes, the highest bit leftmost, 1 for black. */
export class Bitmap {
  readonly width: number
  readonly height: number
  /** Bytes of a row. */
  readonly stride: number
  readonly bytes: Uint8Array

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
    this.stride = Math.ceil(width / 8)
    this.bytes = new Uint8Array(this.stride * height)
  }

  /** Blackens a square; what stands outside the picture is left out. */
  square(x: number, y: number, side: number): void {
    for (let row = Math.max(0, y); row < Math.min(this.height, y + side); row++)
      for (let column = Math.max(0, x); column < Math.min(this.width, x + side); column++)
        this.bytes[row * this.stride + (column >> 3)]! |= 0x80 >> (column & 7)
  }

  isBlack(x: number, y: number): boolean {
    return (this.bytes[y * this.stride + (x >> 3)]! & (0x80 >> (x & 7))) !== 0
  }
}
