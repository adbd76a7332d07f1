import { z } from 'zod'
import { hostKeysOf } from '#broker/api/device-document.ts'
import { cloneLinks } from '#broker/api/why-clones.ts'
import { selfWord } from '#broker/api/why-diagnosis.ts'
import { dropLinks } from '#broker/api/why-drops.ts'
import { type Link, link } from '#broker/api/why-link.ts'
import { failedNegotiation } from '#broker/api/why-negotiation.ts'
import { signatureLinks } from '#broker/api/why-signatures.ts'
import type { GatewayView, Presence } from '#broker/gateway/view.ts'
import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import type { Statement } from '#shared/fleet/statement.ts'
import type { WallTime } from '#shared/time/instant.ts'

export const factDocument = z.object({
  code: z.string().describe('stable name of the link'),
  state: z.enum(['broken', 'warn', 'ok']).describe('warn: it works, but worse than it could, or not for long'),
  ok: z.boolean().describe('false where the link is broken'),
  text: z.string(),
  mend: z.string().describe('empty where nothing needs mending'),
})

export const whyDocument = z.object({
  verdict: z.string().describe('code of the first broken link, or "ok"'),
  facts: z.array(factDocument).describe('worst first; equally bad ones in the order in which a connection needs them'),
  mend: z.string(),
})

export type Why = z.infer<typeof whyDocument>

interface Question {
  operator: Principal
  device: Principal
  port: number
  /** Whether the device has just answered an authentic probe. */
  answered: boolean
  /** What the fleet key has signed of the two, and of the grants between them; undefined: no key is pinned. */
  signed?: readonly Statement[] | undefined
}

interface Sources {
  registry: Pick<Registry, 'policy' | 'dataUse' | 'hostKeys' | 'directory' | 'negotiations' | 'diagnoses' | 'clones'>
  gateway: Pick<GatewayView, 'presence' | 'counters' | 'drops'>
}

/** What the broker knows, and what the device said of itself, as an ordered chain: the first link that does not hold is the verdict (DESIGN D15). */
export async function explain(question: Question, sources: Sources, now: WallTime): Promise<Why> {
  const seen = seenOf(question.device, sources, now)
  const { answered } = question
  const failed =
    answered || question.device.revokedAt !== undefined ? undefined : await failedNegotiation(question.device, sources, now)
  const negotiation = failed ? [link(failed.code, false, failed.text, failed.mend)] : []
  const said = await selfWord(
    question.device,
    { up: answered || seen.state === 'up', lastHeard: seen.lastAuthentic, since: seen.since },
    sources.registry.diagnoses,
    now,
  )
  const granted = grant(question, sources, now)
  const isSignable = question.device.revokedAt === undefined && granted.state === 'ok'
  const isRevoked = question.device.revokedAt !== undefined
  const before = [...(await cloneLinks(question.device, sources.registry.clones)), certificate(question, sources, now)]
  // Of a device that is out for good, nothing further down holds or would help.
  const links: Link[] = isRevoked
    ? before
    : [
        ...before,
        // A peer that cannot connect is out of everybody's reach, whatever the grants say; a guess comes after what is known.
        ...(failed?.certain ? negotiation : []),
        granted,
        ...(isSignable && question.signed ? signatureLinks(question, question.signed) : []),
        ...(failed?.certain ? [] : negotiation),
        ...said.causes,
        heard(seen, question.device),
        probe(question),
        ...hostKeys(question, await hostKeysOf(question.device, sources.registry.hostKeys)),
        ...said.remarks,
        ...dropLinks({ device: question.device, operator: question.operator, answered }, sources.gateway, now),
      ]
  const broken = links.find(({ state }) => state === 'broken')
  return {
    verdict: broken?.code ?? 'ok',
    facts: links.sort((a, b) => rank[a.state] - rank[b.state]).map((fact) => ({ ...fact, ok: fact.state !== 'broken' })),
    mend:
      broken?.mend ?? 'Nothing is broken between the broker and the device; try again, and look at the service on the device.',
  }
}

const rank: Record<Link['state'], number> = { broken: 0, warn: 1, ok: 2 }

function certificate({ device }: Question, { registry }: Sources, now: WallTime): Link {
  if (device.revokedAt !== undefined)
    return link(
      'device-revoked',
      false,
      `${device.name} was revoked at ${new Date(device.revokedAt).toISOString()}.`,
      device.stock ? 'Register it again, with a new key: adit-broker device add.' : 'Enrol it again with a new claim.',
    )
  const ok = registry.directory.isAdmitted(device, now)
  return link(
    ok ? 'identity' : 'identity-expired',
    ok,
    ok ? `${device.name} is enrolled and its binding is valid.` : `The binding of ${device.name} has expired.`,
    'An agent renews by itself once it is online; a stock peer must be registered again, with a new key.',
  )
}

function grant({ operator, device, port }: Question, { registry }: Sources, now: WallTime): Link {
  const ok = registry.policy.permits(operator, device, port, now) !== undefined
  return link(
    ok ? 'grant' : 'forbidden',
    ok,
    ok
      ? `A grant lets ${operator.name} reach port ${port}.`
      : `No grant lets ${operator.name} reach port ${port} of ${device.name}.`,
    `Ask an administrator: adit-broker grant add --operator ${operator.name} --tag TAG --port ${port}.`,
  )
}

type Seen = Presence & { readonly ageSeconds: number | undefined }

/** How it stands with the device's tunnel at this moment. */
function seenOf(device: Principal, { gateway }: Sources, now: WallTime): Seen {
  const presence = gateway.presence(device)
  const { lastAuthentic } = presence
  const ageSeconds = lastAuthentic === undefined ? undefined : Math.max(0, Math.round((now - lastAuthentic) / 1000))
  return { ...presence, ageSeconds }
}

function heard(seen: Seen, device: Principal): Link {
  const { state, since, ageSeconds, endpoint } = seen
  const age = ageSeconds === undefined ? '' : `, last heard ${ageSeconds} s ago from ${endpoint ?? 'an unknown address'}`
  const kind = device.ipsec !== undefined ? 'ipsec' : device.stock ? 'wireguard' : 'agent'
  if (state === 'never')
    return link(
      'device-never-up',
      false,
      `${device.name} has never opened its tunnel.`,
      `${start[kind]}, and see what it says on the spot: ${look[kind]}.`,
    )
  return link(
    state === 'up' ? 'tunnel' : 'device-offline',
    state === 'up',
    `The tunnel of ${device.name} is ${state} since ${since === undefined ? 'an unknown time' : new Date(since).toISOString()}${age}.`,
    `Check its power and its network; it comes back by itself. On the spot: ${look[kind]}.`,
  )
}

/** How the tunnel of each kind of device is begun, and where it says how it stands. */
const start = {
  agent: 'Start its agent (adit-agent run)',
  wireguard: 'Give it what device add --wireguard printed, with its own private key, and begin: wg-quick up',
  ipsec: 'Load the folder that device add --ipsec wrote for it, and begin: swanctl --load-all && swanctl --initiate --child adit',
} as const
const look = { agent: 'adit-agent doctor', wireguard: 'wg show', ipsec: 'swanctl --list-sas, swanctl --log' } as const

function probe({ device, answered }: Question): Link {
  return link(
    answered ? 'answer' : 'device-silent',
    answered,
    answered
      ? `${device.name} has just answered through its tunnel.`
      : `${device.name} did not answer a probe through its tunnel.`,
    'Its network may have changed just now: wait a minute, then ask again.',
  )
}

/** The port of SSH: a connection to another one needs no host key. */
const sshPort = 22

function hostKeys({ device, port }: Question, { ssh }: Awaited<ReturnType<typeof hostKeysOf>>): Link[] {
  if (ssh === undefined) {
    // A stock peer never reports keys: there, ssh trusts what it sees first.
    if (device.stock || port !== sshPort) return []
    return [
      link(
        'host-key-missing',
        false,
        `${device.name} has reported no ssh host key: its ssh service may not run.`,
        'Start sshd on it, and give its agent the service: adit-agent run --service ssh=127.0.0.1:22.',
      ),
    ]
  }
  if (ssh.changed)
    return [
      link(
        'host-key-changed',
        false,
        `The ssh host key of ${device.name} is no longer the pinned one.`,
        `If that is meant, accept it: adit devices accept-key ${device.name}.`,
      ),
    ]
  return [link('host-key', true, `The ssh host key of ${device.name} is pinned and unchanged.`, '')]
}
