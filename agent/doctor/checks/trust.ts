import { printable } from '#shared/terminal/printable.ts'
import type { Evidence } from '../evidence.ts'
import { broken, type Finding, ok, warn } from '../finding.ts'
import { portal } from './portal.ts'

/** More than this between two clocks is worth a line, ms. */
const clockSlackMs = 5 * 60_000
/** A certificate that has not been renewed so shortly before its end: its renewal has failed for long, ms. */
const endingMs = 7 * 86_400_000
/** How long an expired certificate may still renew itself (DESIGN D4), ms. */
const renewalMs = 400 * 86_400_000

/** Roots of our own make bear this name; whoever inspects TLS bears another. */
const ownRoot = /^adit (?:root|server|api|device|operator|station)\b/i

/** Whether both ends are who they say, and when they say it. */
export function trust(evidence: Evidence): Finding[] {
  return [...clock(evidence), ...server(evidence), ...ownCertificate(evidence)]
}

function clock({ facts, tunnelUp }: Evidence): Finding[] {
  const { clock: time } = facts
  if (time === undefined) return []
  const { wall, floor } = time
  const said = isoDay(wall)
  const mend = 'Set it: timedatectl set-ntp true, or a battery for the board; the tunnel itself does not depend on it.'
  if (wall < floor)
    return [
      warn('clock-wrong', `The clock says ${said}, which is before ${isoDay(floor)}, a time that has passed for certain.`, mend),
    ]
  const date = dateOf(facts)
  if (date !== undefined && Math.abs(wall - date) > clockSlackMs)
    return [
      warn(
        'clock-wrong',
        `The clock is ${spanOf(Math.abs(wall - date))} ${wall > date ? 'ahead of' : 'behind'} the broker's.`,
        mend,
      ),
    ]
  // The broker holds a tunnel with nobody whose certificate has ended.
  if (date === undefined && tunnelUp && facts.certificate !== undefined && wall > facts.certificate.notAfter)
    return [warn('clock-wrong', `The clock says ${said}, past the end of a certificate that the broker still takes.`, mend)]
  return [
    ok(
      'clock',
      `The clock says ${new Date(wall).toISOString().slice(0, 19)}Z${date === undefined ? '' : ", as the broker's does"}.`,
    ),
  ]
}

function server(evidence: Evidence): Finding[] {
  const { apiWorks, udpWorks, tunnelUp, streamWorks } = evidence
  const unusable = evidence.tlsOf('unusable')
  if (!apiWorks && unusable.length > 0) {
    const text = `The certificate of the broker's API is not accepted: ${unusable[0]!.tls.why}.`
    return [
      broken(
        'server-certificate',
        text,
        "Check names and life of the broker's certificate (api-names in its configuration) and the clocks.",
      ),
    ]
  }
  const met = evidence.tlsOf('other-issuer')
  // One of many addresses that is somebody else's is a wrong address, and `names` says so.
  if (met.length === 0 || apiWorks) return []
  const issuer = printable(met[0]!.tls.issuer)
  if (ownRoot.test(issuer)) {
    const text = `The broker at ${met[0]!.door.host} belongs to another fleet than this machine's certificate ("${issuer}").`
    return [broken('wrong-ca', text, 'If the broker was set up anew, enrol again with a new claim; else check its address.')]
  }
  const around = tunnelUp || udpWorks || streamWorks
  // A portal was told before, or could not be asked for: then either may be it.
  if (portal(evidence)) return []
  if (!around && evidence.facts.plainHttp === undefined) {
    const said = `Somebody else answers in the broker's place ("${issuer}"): a portal, or a firewall that inspects TLS.`
    return [broken('intercepted', said, 'Open any http:// page in a browser on this network and look who answers.')]
  }
  const text = `TLS to the broker is inspected on the way: its certificate bears the issuer "${issuer}".`
  const mend = "Ask for an exception for the broker's host; the tunnel works meanwhile, renewal of certificates does not."
  return [(around ? warn : broken)('tls-inspected', text, mend)]
}

function ownCertificate({ facts, tunnelUp }: Evidence): Finding[] {
  const { certificate, admission } = facts
  if (admission?.kind === 'refused' && !isExpired(facts))
    return [
      broken(
        'certificate-refused',
        `The broker refuses this machine: ${admission.text}`,
        'It was revoked, has expired, or is unknown there: enrol again with a new claim.',
      ),
    ]
  const now = timeOf(facts)
  if (certificate === undefined || now === 0) return []
  const { notBefore, notAfter } = certificate
  const until = isoDay(notAfter)
  if (now > notAfter && tunnelUp && dateOf(facts) === undefined) return []
  if (now > notAfter + renewalMs)
    return [
      broken(
        'certificate-expired',
        `The certificate ended on ${until}, too long ago to be renewed.`,
        'Enrol again with a new claim.',
      ),
    ]
  if (now > notAfter) {
    const mend = 'The agent renews it by itself once the API is reached; a clock that runs ahead looks the same.'
    return [(tunnelUp ? warn : broken)('certificate-expired', `The certificate ended on ${until}.`, mend)]
  }
  if (now < notBefore) {
    const text = `The certificate begins only on ${isoDay(notBefore)}, by what is known of the time.`
    return [broken('certificate-not-yet', text, "Set this machine's clock, and the broker's.")]
  }
  if (notAfter - now < endingMs)
    return [
      warn(
        'certificate-ending',
        `The certificate ends on ${until}, and has not been renewed.`,
        "Check that the broker's API is reached.",
      ),
    ]
  return [ok('certificate', `The certificate is good until ${until}.`)]
}

function isExpired(facts: Evidence['facts']): boolean {
  return facts.certificate !== undefined && timeOf(facts) > facts.certificate.notAfter
}

/** The broker's time where it has proven itself, else the clock, never below the floor. */
function timeOf(facts: Evidence['facts']): number {
  return Math.max(dateOf(facts) ?? facts.clock?.wall ?? 0, facts.clock?.floor ?? 0)
}

const dateOf = ({ api = [], streams = [] }: Evidence['facts']): number | undefined =>
  [...api, ...streams].find(({ date }) => date !== undefined)?.date

const isoDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10)

function spanOf(ms: number): string {
  const hours = ms / 3_600_000
  if (hours >= 48) return `${Math.round(hours / 24)} days`
  return hours >= 2 ? `${Math.round(hours)} h` : `${Math.round(ms / 60_000)} min`
}
