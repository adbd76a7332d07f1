import { AditError } from '#shared/errors.ts'

/** What is on the card cannot take a bundle: `why` completes "This card …". */
export const cardFault = (why: string, mend: string, cause?: unknown): AditError =>
  new AditError('card-refused', `This card ${why}.`, mend, { cause })

/** `why`: what does not hold together. */
export const damagedFat = (why: string): AditError =>
  cardFault(`has a damaged FAT file system: ${why}`, 'Repair it with fsck.fat -a, or write the image anew.')
