/**
 * Serial arithmetic on 32-bit sequence numbers and timestamps (RFC 9293 §3.4, RFC 1982), held as signed 32-bit integers: V8 keeps
 * such numbers inside an object's fields without a box, which is worth much to ten thousand idle connections.
 */
export const plus = (a: number, n: number): number => (a + n) | 0
/** How far `a` lies after `b`: negative where it lies before. */
export const distance = (a: number, b: number): number => (a - b) | 0
export const before = (a: number, b: number): boolean => ((a - b) | 0) < 0
export const after = (a: number, b: number): boolean => ((a - b) | 0) > 0
export const later = (a: number, b: number): number => (((a - b) | 0) > 0 ? a : b)
