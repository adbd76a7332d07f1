import { z } from 'zod'
import { type Line, lines, lineWords, phases } from '#broker/identity/succession.ts'
import { AditError } from '#shared/errors.ts'
import { asleepWords, caStatus, type Holders, holdersOf } from '../ca-status.ts'
import type { Office } from '../office.ts'
import { nothing, type Operation, operation } from '../operation.ts'

const line = z.enum(lines as [Line, ...Line[]])
const rotate = z.strictObject({
  line,
  phase: z.enum([...phases, 'finished']).optional(),
  compromised: z.boolean().default(false),
  force: z.boolean().default(false),
})

/** The life of the fleet's authorities. */
export const caOperations: Record<string, Operation> = {
  'ca.status': operation(nothing, caStatus),
  /** To the phase named, or to the one that follows. */
  'ca.rotate': operation(rotate, async (office, { line, phase, compromised, force }) => {
    const { rotation } = office.authority
    const present = rotation.rotation?.line === line ? rotation.rotation.phase : undefined
    const to = phase ?? (present === undefined ? 'prepared' : (phases[phases.indexOf(present) + 1] ?? 'finished'))
    if (to === 'prepared') await rotation.prepare(line)
    else {
      if (to === 'retired' && present === 'issuing' && !force) await checkNobodyIsLeft(office, line)
      await rotation.advance(line, to, { compromised })
    }
    await tell(office, 'ca.rotate', line, { phase: to, compromised, force })
    return caStatus(office)
  }),
  'ca.rollback': operation(z.strictObject({ line, force: z.boolean().default(false) }), async (office, { line, force }) => {
    const { rotation } = office.authority
    if (rotation.rotation?.line === line && !force) await checkMayGoBack(office, line)
    await rotation.rollBack(line)
    await tell(office, 'ca.rollback', line, { phase: rotation.rotation?.phase ?? 'none', force })
    return caStatus(office)
  }),
  /** `pkiUrl`: what whoever signs is to write into certificates. */
  'ca.request': operation(z.strictObject({ line: z.union([line, z.literal('crl')]) }), async (office, { line }) => {
    const request = await office.authority.rotation.request(line)
    await tell(office, 'ca.request', line, {})
    const { url } = office.config.pki
    return { line, request, ...(line !== 'crl' && url !== undefined && { pkiUrl: url }) }
  }),
  'ca.install': operation(z.strictObject({ answer: z.string().max(256 * 1024) }), async (office, { answer }) => {
    const line = await office.authority.rotation.install(answer)
    if (line === 'crl') await tell(office, 'ca.crl', 'root', { signed: 'offline' })
    else await tell(office, 'ca.rotate', line, { phase: 'prepared', signed: 'offline' })
    return caStatus(office)
  }),
  /** The root's key leaves under the passphrase, and stays here until `ca.root.forget`. */
  'ca.root.export': operation(z.strictObject({ passphrase: z.string().min(1) }), async (office, { passphrase }) => {
    const pem = await office.authority.rotation.exportRoot(passphrase)
    await tell(office, 'ca.root.export', 'root', {})
    return { pem }
  }),
  'ca.root.forget': operation(z.strictObject({ fingerprint: z.string() }), async (office, { fingerprint }) => {
    await office.authority.rotation.forgetRoot(fingerprint)
    await tell(office, 'ca.root.offline', 'root', {})
    return caStatus(office)
  }),
}

const tell = (
  { registry, actor }: Office,
  action: string,
  line: Line | 'crl',
  detail: Record<string, unknown>,
): Promise<unknown> => registry.audit.append({ actor, action, subject: `ca:${line}`, detail })

/** Retiring leaves whoever still holds a certificate of the former CA with a renewal alone; who renews by himself has to be let. */
async function checkNobodyIsLeft(office: Office, line: Line): Promise<void> {
  const { standing, rotation } = office.authority
  if (line === 'root') return
  const behind = await holdersOf(standing, line, ({ stem }) => stem !== rotation.rotation?.next, office)
  if (behind.count > 0) throw leftBehind(line, behind, `adit-broker ca rotate ${line} --phase retired --force`)
}

/** Going back from `trusted` distrusts what the next one has signed. */
async function checkMayGoBack(office: Office, line: Line): Promise<void> {
  const { standing, rotation } = office.authority
  const { phase, next, wasRetired } = rotation.rotation!
  if (phase !== 'trusted' && phase !== 'prepared') return
  if (line === 'root') {
    if (!wasRetired) return
    throw new AditError(
      'ca-phase',
      'This root rotation was retired before: agents may trust the next root alone, and would be lost.',
      'Go forward again; or, where nobody had moved: adit-broker ca rollback root --force',
    )
  }
  const behind = await holdersOf(standing, line, ({ stem }) => stem === next, office)
  if (behind.count > 0) throw leftBehind(line, behind, `adit-broker ca rollback ${line} --force`)
}

const leftBehind = (line: Line, { count, asleep }: Holders, force: string): AditError =>
  new AditError(
    'ca-phase',
    `${count} hold a certificate that the ${lineWords(line)} which goes has signed, and have not come for another yet${asleepWords(asleep)}.`,
    `Wait until they have (adit-broker ca status); or leave them to renew when they come: ${force}`,
  )
