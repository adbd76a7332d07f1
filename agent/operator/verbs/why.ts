import type { OperatorContext } from '#agent/operator/context.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { printable } from '#shared/terminal/printable.ts'

/** `adit why DEVICE`: the chain from here to the device's service, and its first broken link. */
export async function why(context: OperatorContext, device: string, port: number): Promise<void> {
  const name = checkName(device)
  const fromBroker = await (await context.api()).why(name, port)
  const here = await ownTunnel(context)
  const facts = here === undefined ? fromBroker.facts : [here, ...fromBroker.facts]
  // What is nearest to the asker comes first: with a dead tunnel here, nothing beyond it matters.
  const answer =
    here?.ok === false
      ? { verdict: here.code, facts, mend: 'Check that UDP to the broker is allowed on this network.' }
      : { ...fromBroker, facts }
  if (context.json) return context.write(`${JSON.stringify({ device: name, ...answer })}\n`)
  const lines = answer.facts.map(({ ok, text }) => `${ok ? '  ok  ' : '  NO  '} ${printable(text)}\n`).join('')
  const closing = answer.verdict === 'ok' ? `${answer.mend}` : `First broken link: ${answer.verdict}. ${answer.mend}`
  await context.write(`${lines}${printable(closing)}\n`)
}

/** What this machine's own tunnel knows, where one runs; no tunnel is no fault, since the next command opens it. */
async function ownTunnel(context: OperatorContext): Promise<{ code: string; text: string; ok: boolean } | undefined> {
  const status = await context.tunnel().requestIfRunning({ op: 'status' })
  if (status === undefined) return undefined
  const ok = status.state === 'up'
  return {
    code: ok ? 'own-tunnel' : 'tunnel-unreachable',
    ok,
    text: ok
      ? `Your own tunnel to the broker is up (${String(status.endpoint)}).`
      : 'Your own tunnel to the broker gets no answer.',
  }
}
