import { AditError } from '#shared/errors.ts'

/** A QR code (ISO/IEC 18004) as modules, without its quiet zone. */
export interface QrCode {
  /** Modules on a side: 21 to 177. */
  readonly size: number
  isDark(column: number, row: number): boolean
}

/** Light modules that must surround the symbol (ISO/IEC 18004 §6.3.8). */
export const QUIET_ZONE = 4

/** At level M, which bears the loss of 15 %: a scratch. Throws AditError `label-refused` for a text that no symbol holds. */
export async function qrCodeOf(text: string): Promise<QrCode> {
  const { default: qrcode } = await import('qrcode')
  try {
    const { modules } = qrcode.create(text, { errorCorrectionLevel: 'M' })
    return { size: modules.size, isDark: (column, row) => modules.get(row, column) === 1 }
  } catch (cause) {
    throw new AditError('label-refused', 'The pairing URL is too long for a QR code.', 'Use a shorter one.', { cause })
  }
}
