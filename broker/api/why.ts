import { z } from 'zod'
import { type DeviceDocument, describeDevice } from '#broker/api/device-document.ts'
import { failedNegotiation } from '#broker/api/why-negotiation.ts'
import type { GatewayView } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { WallTime } from '#shared/time/instant.ts'

export const factDocument = z.object({
  code: z.string().describe('stable name of the link'),
  text: z.string(),
  ok: z.boolean(),
})

export const whyDocument = z.object({
  verdict: z.string().describe('code of the first broken link, or "ok"'),
  facts: z.array(factDocument).describe('links in the order in which a connection needs them'),
  mend: z.string(),
})

type Fact = z.infer<typeof factDocument>
export type Why = z.infer<typeof whyDocument>

interface Question {
  operator: Principal
  device: Principal
  port: number
  /** Whether the device has just answered an authentic probe. */
  answered: boolean
}

interface Sources {
  registry: Pick<Registry, 'policy' | 'hostKeys' | 'directory' | 'negotiations'>
  gateway: Pick<GatewayView, 'presence'>
}

/** One link of the chain from the operator to the device's service: what is so, and the mend where it is broken. */
type Link = Fact & { mend: string }

/** What the broker knows, as an ordered chain: the first link that does not hold is the verdict (DESIGN D15). */
export async function explain(question: Question, sources: Sources, now: WallTime): Promise<Why> {
  const device = await describeDevice({ asker: question.operator, device: question.device }, sources, now)
  const { answered } = question
  const failed = answered || device.state === 'revoked' ? undefined : await failedNegotiation(question.device, sources, now)
  const negotiation = failed ? [{ ...failed, ok: false }] : []
  const links: Link[] = [
    certificate(question, sources, now),
    // A peer that cannot connect is out of everybody's reach, whatever the grants say; a guess comes after what is known.
    ...(failed?.certain ? negotiation : []),
    grant(question, sources, now),
    ...(failed?.certain ? [] : negotiation),
    heard(device, question.device),
    probe(question),
    ...hostKeys(question, device),
  ]
  const broken = links.find((link) => !link.ok)
  return {
    verdict: broken?.code ?? 'ok',
    facts: links.map(({ code, text, ok }) => ({ code, text, ok })),
    mend:
      broken?.mend ?? 'Nothing is broken between the broker and the device; try again, and look at the service on the device.',
  }
}

function certificate({ device }: Question, { registry }: Sources, now: WallTime): Link {
  if (device.revokedAt !== undefined)
    return {
      code: 'device-revoked',
      ok: false,
      text: `${device.name} was revoked at ${new Date(device.revokedAt).toISOString()}.`,
      mend: 'Enrol it again with a new claim.',
    }
  const ok = registry.directory.isAdmitted(device, now)
  return {
    code: ok ? 'identity' : 'identity-expired',
    ok,
    text: ok ? `${device.name} is enrolled and its binding is valid.` : `The binding of ${device.name} has expired.`,
    mend: 'An agent renews by itself once it is online; a stock peer must be registered again, with a new key.',
  }
}

function grant({ operator, device, port }: Question, { registry }: Sources, now: WallTime): Link {
  const ok = registry.policy.permits(operator, device, port, now) !== undefined
  return {
    code: ok ? 'grant' : 'forbidden',
    ok,
    text: ok
      ? `A grant lets ${operator.name} reach port ${port}.`
      : `No grant lets ${operator.name} reach port ${port} of ${device.name}.`,
    mend: `Ask an administrator: adit-broker grant add --operator ${operator.name} --tag TAG --port ${port}.`,
  }
}

function heard(device: DeviceDocument, { ipsec }: Principal): Link {
  const { state, since, evidenceAgeSeconds, endpoint } = device
  const age =
    evidenceAgeSeconds === null ? '' : `, last heard ${evidenceAgeSeconds} s ago from ${endpoint ?? 'an unknown address'}`
  if (state === 'never')
    return {
      code: 'device-never-up',
      ok: false,
      text: `${device.name} has never opened its tunnel.`,
      mend: `${start(ipsec !== undefined)}, and check that UDP to the broker is allowed where it stands.`,
    }
  return {
    code: state === 'up' ? 'tunnel' : 'device-offline',
    ok: state === 'up',
    text: `The tunnel of ${device.name} is ${state} since ${since ?? 'an unknown time'}${age}.`,
    mend: 'Check its power and its network; it comes back by itself.',
  }
}

const start = (ipsec: boolean): string =>
  ipsec
    ? 'Load the folder that device add --ipsec wrote for it, and begin: swanctl --load-all && swanctl --initiate --child adit'
    : 'Start its agent (adit-agent run)'

function probe({ device, answered }: Question): Link {
  return {
    code: answered ? 'answer' : 'device-silent',
    ok: answered,
    text: answered
      ? `${device.name} has just answered through its tunnel.`
      : `${device.name} did not answer a probe through its tunnel.`,
    mend: 'Its network may have changed just now: wait a minute, then ask again.',
  }
}

/** The port of SSH: a connection to another one needs no host key. */
const sshPort = 22

function hostKeys({ device: { stock }, port }: Question, device: DeviceDocument): Link[] {
  const { ssh } = device.hostKeys
  if (ssh === undefined) {
    // A stock peer never reports keys: there, ssh trusts what it sees first.
    if (stock || port !== sshPort) return []
    return [
      {
        code: 'host-key-missing',
        ok: false,
        text: `${device.name} has reported no ssh host key: its ssh service may not run.`,
        mend: 'Start sshd on it, and give its agent the service: adit-agent run --service ssh=127.0.0.1:22.',
      },
    ]
  }
  if (ssh.changed)
    return [
      {
        code: 'host-key-changed',
        ok: false,
        text: `The ssh host key of ${device.name} is no longer the pinned one.`,
        mend: `If that is meant, accept it: adit devices accept-key ${device.name}.`,
      },
    ]
  return [{ code: 'host-key', ok: true, text: `The ssh host key of ${device.name} is pinned and unchanged.`, mend: '' }]
}
