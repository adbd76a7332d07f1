import { z } from 'zod'
import { callerOf } from '#broker/api/admission.ts'
import type { ApiParts, ApiServer } from '#broker/api/api-server.ts'
import { StationStatements } from '#broker/fleet/station-statements.ts'
import { isDelegationDue } from '#broker/stations/delegation-terms.ts'
import { LedgerIntake } from '#broker/stations/ledger-intake.ts'
import { stationOf } from '#broker/stations/station-caller.ts'
import { responderOf, takeResponder } from '#broker/stations/station-responders.ts'
import { claimedNow, mendOf, refusalOf, stationRight } from '#broker/stations/station-right.ts'
import { wordOn } from '#broker/stations/unit-word.ts'
import { toHex } from '#shared/bytes/hex.ts'
import { checkName } from '#shared/enrolment/name.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { parseCertificate } from '#shared/pki/certificate.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { PkiError } from '#shared/pki/pki-error.ts'
import { verifyRequest } from '#shared/pki/request.ts'
import { Mutex } from '#shared/platform/mutex.ts'

const base64 = z
  .string()
  .max(32_000)
  .regex(/^[A-Za-z0-9+/]*={0,2}$/)
const spkiHash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .describe("SHA-256 of the SPKI of the board's identity key, hex")
const headReply = z.object({
  number: z.number().int().describe('entries of the ledger that the broker knows'),
  hash: z.string().describe('behind the last of them, hex'),
})
const stationReply = headReply.extend({
  station: z.string(),
  quota: z.number().int(),
  used: z.number().int().describe('certificates that count against the quota'),
  conflicts: z.number().int().describe('units of this station that do not fit'),
  until: z.number().int().describe('end of the window, ms since 1970'),
  ca: z.string().nullable().describe("serial number of the certificate of the station's own CA, hex"),
  answers: z.boolean().describe("the station's CA lets the broker answer OCSP for its units"),
  fleetKey: z.boolean().describe('devices believe what a fleet key has signed, and the station may be let vouch for its own'),
  statementKey: z.string().nullable().describe('by which it vouches: Ed25519, hex; null while it has not told it'),
  waiting: z.number().int().describe('devices of the station that wait for its word'),
  due: z.boolean().describe('that certificate is to be asked for anew: it may issue more now, or another CA signs it'),
})
const conflictsReply = z.object({
  conflicts: z.array(
    z.object({
      unit: z.string().nullable().describe("the board's serial number, where it is known"),
      name: z.string(),
      kind: z.string(),
      against: z.string().describe('what stands against it'),
      mend: z.string(),
    }),
  ),
})
const chainReply = z.object({ chain: z.string().describe('PEM, leaf first, without the root'), root: z.string().describe('PEM') })

/** Of its conflicts a station is told the first ones: it is to be seen to long before. */
const conflictsTold = 100
/** Bytes of one piece of a ledger: some hundreds of entries with their certificates. */
const pieceLimit = 1024 * 1024

/** What a station asks of its broker, under its own certificate: its CA, certificates of units, and that its ledger be taken. */
export function stationRoutes(app: ApiServer, parts: ApiParts): void {
  const { registry, authority, suite, clock, enrolment, lastWord } = parts
  const intake = new LedgerIntake({ registry, authority, lastWord, suite, clock })
  const statements = new StationStatements({ registry, fleet: authority.fleetId, suite, clock })
  const turn = new Mutex()
  const root = (): string => encodePem('CERTIFICATE', authority.rootDer)
  const deviceCa = (): string => encodePem('CERTIFICATE', authority.chainOf('device')[0]!)
  const schema = (summary: string) => ({ summary, tags: ['stations'] })
  const config = { access: 'station' as const }

  app.post(
    '/v1/station/delegation',
    { config, schema: { ...schema("The station's own CA"), body: z.object({ request: base64 }), response: { 200: chainReply } } },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      const { spki } = verified(Buffer.from(request.body.request, 'base64'), parts)
      const ca = await registry.stations.delegate(
        station,
        spki,
        (scope, subject) => authority.issueDelegate(scope, spki, subject),
        authority.caOf('device').certificate,
        authority.ocspUrl,
      )
      return { chain: encodePem('CERTIFICATE', ca) + deviceCa(), root: root() }
    },
  )

  app.get(
    '/v1/station',
    {
      config,
      schema: {
        ...schema('How far the ledger is known'),
        querystring: z.object({ entries: z.coerce.number().int().min(0).describe('of the ledger, as the station has it') }),
        response: { 200: stationReply },
      },
    },
    async (request) => {
      const caller = callerOf(request)
      const station = await stationOf(registry, caller)
      const head = await intake.head(station, caller.principal, request.query.entries)
      const { certificates, conflicts } = await registry.stationUnits.counts(station)
      const { station: name, quota, notAfter: until } = station
      const ca = station.ca?.serialHex ?? null
      const issuing = authority.caOf('device').certificate
      const due = isDelegationDue(station, issuing, clock.wall(), authority.ocspUrl)
      const answers = (await responderOf(registry.settings, station, issuing.spki)) !== undefined
      const terms = { station: name, quota, used: certificates, conflicts, until }
      const fleetKey = registry.statements.pinned !== undefined
      const waiting = fleetKey ? (await statements.waiting(station)).devices.length : 0
      const vouching = { fleetKey, statementKey: station.statementKey ?? null, waiting }
      return { number: head.number, hash: toHex(head.hash), ...terms, ...vouching, ca, due, answers }
    },
  )

  app.get(
    '/v1/station/conflicts',
    { config, schema: { ...schema('Units of this station that do not fit'), response: { 200: conflictsReply } } },
    async (request) => {
      const { station } = await stationOf(registry, callerOf(request))
      const all = await registry.stationUnits.conflicts({ all: false })
      const own = all.filter((conflict) => conflict.station === station).slice(0, conflictsTold)
      const conflicts = own.map(({ kind, ours, other }) => {
        const { unit = null, name = '' } = ours
        return { unit, name, kind, against: other.what, mend: mendOf(kind) }
      })
      return { conflicts }
    },
  )

  app.put(
    '/v1/station/responder',
    {
      config,
      schema: {
        ...schema("The word of the station's CA that the broker answers OCSP for its units"),
        body: z.object({ certificate: base64 }),
        response: { 200: z.object({}) },
      },
    },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      const { spki } = authority.caOf('device').certificate
      await takeResponder(registry.settings, station, bytesOf(request.body.certificate), spki)
      return {}
    },
  )

  app.post(
    '/v1/station/ledger',
    {
      config,
      bodyLimit: pieceLimit,
      schema: {
        ...schema('More of the ledger'),
        body: z.object({ from: z.number().int().min(0), entries: z.array(base64).max(1_000), seal: base64 }),
        response: { 200: headReply },
      },
    },
    async (request) => {
      const caller = callerOf(request)
      const station = await stationOf(registry, caller)
      const { from, entries, seal } = request.body
      const piece = { from, entries: entries.map(bytesOf), seal: bytesOf(seal) }
      const head = await intake.take(station, caller.principal, piece, request.ip)
      return { number: head.number, hash: toHex(head.hash) }
    },
  )

  app.post(
    '/v1/station/leave',
    {
      config,
      schema: {
        ...schema('Whether a board may have a certificate, which the station itself will make'),
        body: z.object({ unit: z.string().max(80), name: z.string().max(80), key: spkiHash }),
        response: { 200: z.object({}) },
      },
    },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      const asked = { unit: checkSerial(request.body.unit), name: checkName(request.body.name) }
      const claimed = claimedNow(asked, request.body.key, clock)
      const against = await registry.stationUnits.standingAgainst(station, claimed)
      if (against) throw refusalOf(against, asked)
      const word = await wordOn(lastWord, station, claimed, request.ip)
      if ('conflict' in word) throw refusalOf(word.conflict, asked)
      return {}
    },
  )

  app.post(
    '/v1/station/units',
    {
      config,
      schema: {
        ...schema('A certificate for a board'),
        body: z.object({ unit: z.string().max(80), name: z.string().max(80), request: base64 }),
        response: { 200: chainReply },
      },
    },
    async (request) => {
      const station = await stationOf(registry, callerOf(request))
      const asked = { unit: checkSerial(request.body.unit), name: checkName(request.body.name) }
      // One board at a time: what a quota still allows is counted between two.
      const leave = await turn.enter()
      try {
        const right = stationRight(station, asked, registry.stationUnits, clock)
        const outcome = await enrolment.enrol(right, bytesOf(request.body.request), { address: request.ip })
        if (!('certificate' in outcome)) throw waiting(asked.name)
        const leaf = parseCertificate(outcome.certificate)
        const issuerHex = toHex(suite.hash('sha256', parseCertificate(authority.chainOf('device')[0]!).spki))
        await registry.stationUnits.intake(async (transaction) => {
          const taken = await registry.stationUnits.take(transaction, station, { leaf, issuerHex, unit: asked.unit })
          if ('conflict' in taken) throw refusalOf(taken.conflict, asked)
        })
        return { chain: encodePem('CERTIFICATE', leaf.der) + deviceCa(), root: root() }
      } finally {
        leave()
      }
    },
  )
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))

function verified(request: Uint8Array, { authority, suite }: Pick<ApiParts, 'authority' | 'suite'>): { spki: Uint8Array } {
  try {
    return verifyRequest(request, authority.enrolmentKey, suite)
  } catch (error) {
    if (!(error instanceof PkiError)) throw error
    throw new AditError(
      'request-refused',
      `The request for a CA is refused: ${error.message}.`,
      'Make it again: adit station init',
    )
  }
}

const waiting = (name: string): AditError =>
  new AditError(
    'forbidden',
    `${name} must wait for a person.`,
    'Say yes at the broker, adit-broker enrolments approve, and try again.',
  )
