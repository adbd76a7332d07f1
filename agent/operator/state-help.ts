/** How every verb of `adit` that needs an operator's folder speaks of `--state`. */
export const stateHelp = 'state folder (default: ADIT_STATE, else ~/.local/state/adit)'
