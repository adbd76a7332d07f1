import { AditError } from '#shared/errors.ts'

/** Said by every verb that needs an identity and finds none in that state folder. */
export const notLoggedIn = (stateFolder: string): AditError =>
  new AditError(
    'not-enrolled',
    `Nobody is logged in with the state folder ${stateFolder}.`,
    'Log in with a claim: adit login --claim TOKEN.',
  )
