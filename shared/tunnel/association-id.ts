let next = 1

/** `Association.id`: unique in this process over both suites, never reused. */
export const nextAssociationId = (): number => next++
