/** fast-check, from one seed unless `ADIT_PROPERTY_SEED` says another: the same runs each time, here and wherever a failure is looked for. */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.ADIT_PROPERTY_SEED ?? 13) })

export default fc
