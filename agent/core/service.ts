import { AditError } from '#shared/errors.ts'
import type { Endpoint } from '#shared/tunnel/association.ts'
import { splitHostPort } from './agent-config.ts'

/** A local TCP service that operators reach at `port` of the device's inner addresses. */
export interface Service {
  readonly name: string
  /** Inner TCP port. */
  readonly port: number
  /** Where it listens on this machine, or near it. */
  readonly target: Endpoint
}

/** Ports that IANA has registered for the names that people use; any other service says its port: `NAME:PORT`. */
export const registeredPorts: Readonly<Record<string, number>> = {
  ftp: 21,
  ssh: 22,
  telnet: 23,
  http: 80,
  'iso-tsap': 102,
  https: 443,
  modbus: 502,
  rtsp: 554,
  mqtt: 1883,
  rdp: 3389,
  'opc-ua': 4840,
  postgresql: 5432,
  vnc: 5900,
  'http-alt': 8080,
  'secure-mqtt': 8883,
  bacnet: 47808,
}

const serviceName = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/

/** A service from its two halves: `ssh` and `127.0.0.1:22`, or `gauge:7001` and `[::1]:7001`. Throws AditError `config-invalid`. */
export function parseService(key: string, value: string): Service {
  const [name = '', portText, ...rest] = key.split(':')
  if (!serviceName.test(name) || rest.length > 0)
    throw refused(`"${key}" is no service name`, 'Write NAME or NAME:PORT, the name in lower-case letters, digits and hyphens.')
  const port = portText === undefined ? registeredPorts[name] : Number(portText)
  if (port === undefined)
    throw refused(`The service "${name}" has no registered port`, `Say the inner port too: ${name}:PORT=${value}.`)
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw refused(`"${key}" has no usable port`, 'A port is a number from 1 to 65535.')
  const target = splitHostPort(value)
  if (target === undefined)
    throw refused(`The service "${name}" has no usable target "${value}"`, 'Write ADDR:PORT, as in 127.0.0.1:22.')
  return { name, port, target }
}

/** `NAME=ADDR:PORT` as typed after `--service`. */
export function parseServiceFlag(text: string): Service {
  const at = text.indexOf('=')
  if (at < 1) throw refused(`"${text}" is no service`, 'Write NAME=ADDR:PORT, as in ssh=127.0.0.1:22.')
  return parseService(text.slice(0, at), text.slice(at + 1))
}

/**
 * Those of a later list replace those of an earlier one at the same inner port, so that a flag overrides the file. Throws AditError
 * `config-invalid` where one list has two for a port.
 */
export function mergeServices(...lists: readonly (readonly Service[])[]): Service[] {
  const byPort = new Map<number, Service>()
  for (const list of lists) {
    const before = new Map<number, Service>()
    for (const service of list) {
      const other = before.get(service.port)
      if (other !== undefined)
        throw refused(
          `Two services are to have the inner port ${service.port}: "${other.name}" and "${service.name}"`,
          `Give one of them another port, as in ${service.name}:PORT, or leave it out.`,
        )
      before.set(service.port, service)
      byPort.set(service.port, service)
    }
  }
  return [...byPort.values()]
}

/** Services whose host keys are asked for. */
export const isSsh = (service: Service): boolean => service.port === 22 || service.name.startsWith('ssh')

const refused = (what: string, mend: string): AditError => new AditError('config-invalid', `${what}.`, mend)
