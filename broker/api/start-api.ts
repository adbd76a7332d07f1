import { type ApiParts, buildApiServer } from '#broker/api/api-server.ts'
import { LongPolls } from '#broker/api/long-poll.ts'
import { ServerCertificate } from '#broker/api/server-certificate.ts'
import { splitEndpoint } from '#broker/endpoint-text.ts'
import { Enrolment } from '#broker/enrolment/enrolment.ts'
import { openHook } from '#broker/enrolment/io/open-hook.ts'
import { LastWord } from '#broker/enrolment/last-word.ts'
import { StatementSource } from '#broker/fleet/statement-source.ts'
import type { StreamDoor } from '#broker/gateway/stream-door.ts'
import { acceptWebsockets } from '#broker/gateway/stream-door-websocket.ts'
import { OutsiderDesk } from '#broker/outsiders/outsider-desk.ts'
import { trustStations } from '#broker/stations/station-trust.ts'
import { AditError } from '#shared/errors.ts'
import { backgroundTimers, type Timers } from '#shared/platform/timers.ts'
import { endpointText } from '#shared/wire/endpoint.ts'

export interface StartApiOptions extends Omit<ApiParts, 'waiting' | 'statements' | 'outsiders' | 'enrolment' | 'lastWord'> {
  /** The same that answers over plain HTTP, where there is one. */
  outsiders?: OutsiderDesk
  /** The gateway's, where there is one. */
  statements?: StatementSource
  timers?: Timers
  /** Where WebSockets that bear datagrams are brought; left out: none are taken. */
  streams?: StreamDoor
}

export interface RunningApi {
  /** `https://ADDR:PORT`, with the port that was taken. */
  readonly url: string
  /** Ends waiting requests with what they have, and every connection. */
  close(): Promise<void>
}

/** Opens the HTTPS API. Throws AditError `port-in-use` or `config-invalid`. */
export async function startApi({ timers = backgroundTimers, streams, ...rest }: StartApiOptions): Promise<RunningApi> {
  const waiting = new LongPolls(timers)
  const statements = rest.statements ?? (await StatementSource.open(rest))
  const { enrolment: rules } = rest.settings
  const lastWord = new LastWord({ ...rest, hook: rules?.hook && openHook(rules.hook, rest.log) })
  const enrolment = new Enrolment({ ...rest, rules, lastWord })
  const stopTrusting = trustStations(rest.registry, rest.authority)
  const app = await buildApiServer({
    ...rest,
    statements,
    waiting,
    enrolment,
    lastWord,
    outsiders: rest.outsiders ?? new OutsiderDesk(rest),
  })
  if (streams) acceptWebsockets(app.server, streams)
  const { host, port } = listenAddress(rest.settings.listen)
  try {
    await app.listen({ host, port, listenTextResolver: (address) => `API at ${address}` })
  } catch (error) {
    stopTrusting()
    await app.close()
    throw listenError(error, rest.settings.listen)
  }
  const stopWatching = rest.registry.onChange((change) => {
    if (change.kind === 'changed')
      rest.registry.lane.noteReturn(change.principal).catch((error) => rest.log.warn({ err: error }, 'a return is not recorded'))
    // The next look of a waiting request meets the new rights now, not at the end of its pause.
    if ('principal' in change) waiting.wakeSubject(change.principal.id)
  })
  const stopHearing = rest.registry.telemetry.onArrival((deviceId) => waiting.arrived(deviceId))
  const use = (tls: { key: string; cert: string }): void => app.server.setSecureContext({ ...tls, minVersion: 'TLSv1.2' })
  const renewal = new ServerCertificate(rest.authority, timers, rest.log, use)
  const stopFollowing = rest.authority.onChange(() => use(rest.authority.tls))
  const address = app.server.address()
  const taken = typeof address === 'object' && address !== null ? address.port : port
  return {
    url: `https://${endpointText({ address: host, port: taken })}`,
    async close() {
      renewal.stop()
      stopFollowing()
      stopWatching()
      stopTrusting()
      stopHearing()
      waiting.close()
      await app.close()
    },
  }
}

function listenAddress(listen: string): { host: string; port: number } {
  const [host, portText] = splitEndpoint(listen)
  const port = Number(portText)
  if (host === '' || portText === '' || port > 65535)
    throw new AditError(
      'config-invalid',
      `The API address "${listen}" is not ADDR:PORT.`,
      'Give --api an address and a port, as in 0.0.0.0:8443.',
    )
  return { host, port }
}

function listenError(error: unknown, listen: string): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'EADDRINUSE')
    return new AditError(
      'port-in-use',
      `The API cannot listen on ${listen}: another program has that port.`,
      'Stop it, or choose another with --api.',
    )
  if (code === 'EADDRNOTAVAIL' || code === 'EACCES')
    return new AditError(
      'config-invalid',
      `The API cannot listen on ${listen}: ${code}.`,
      'Give --api an address of this machine.',
    )
  return error
}
