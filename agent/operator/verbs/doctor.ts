import { describe } from '#agent/doctor/report.ts'
import type { OperatorContext } from '#agent/operator/context.ts'

/** `adit doctor`: what stands between this machine and the broker. Returns the exit status: 0 where nothing is broken. */
export async function doctor(context: OperatorContext, broker: string | undefined): Promise<number> {
  const { verdict, findings } = await context.diagnose(broker)
  const text = context.json ? JSON.stringify({ verdict, findings }) : describe({ verdict, findings }).join('\n')
  await context.write(`${text}\n`)
  return findings.some(({ state }) => state === 'broken') ? 1 : 0
}
