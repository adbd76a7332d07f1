import { setFlagsFromString } from 'node:v8'

/**
 * Imported first by `adit-agent`: a Pi's memory is worth more than the last percent of speed. Node's young generation would grow to three
 * times 16 MB for garbage that nobody waits for; with 2 MB the agent is 5 MB smaller. The optimising compiler waits for work
 * (`optimiser.ts`): another 6 MB.
 */
setFlagsFromString('--max-semi-space-size=2')
setFlagsFromString('--semi-space-growth-factor=1')
setFlagsFromString('--no-opt')
// Newer versions of V8 have another in between, whose code the first would never take over.
setFlagsFromString('--no-maglev')
