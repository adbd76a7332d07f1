import { AditError } from '#shared/errors.ts'
import { systemTimers } from '#shared/platform/timers.ts'
import { minutes } from '#shared/time/instant.ts'
import type { LineParts } from './line.ts'
import type { Way } from './way.ts'

/** As they were typed: `--into PATH`, `--network [--listen ADDR:PORT]` or `--serial DEVICE [--baud N] [--console-user NAME]`. */
export interface WayOptions {
  readonly into?: string | undefined
  readonly network?: boolean | undefined
  readonly serial?: string | undefined
  readonly listen?: string | undefined
  readonly baud?: number | undefined
  readonly consoleUser?: string | undefined
  /** Of that user; never on a command line. */
  readonly consolePassword?: string | undefined
}

/** Of the station: who it is to boards, what they show to it, and what they learn of the fleet. */
export interface WayParts extends Omit<LineParts, 'listen' | 'multicast'> {
  /** Told once the line's door is open: what the image of the boards needs. */
  onToken(token: string): void
}

/** How long a board may take to come to the line, power-on included. */
const boardPatience = minutes(15)

/** The way that the options name; its code and its libraries are loaded here. Throws AditError `usage` unless they name one. */
export async function wayOf(options: WayOptions, parts: WayParts): Promise<Way> {
  const { into, network, serial } = options
  if ([into !== undefined, network === true, serial !== undefined].filter(Boolean).length !== 1) throw oneWay()
  if (into !== undefined) return new (await import('./image-way.ts')).ImageWay(into, parts)
  if (serial !== undefined) return serialWay(serial, options, parts)
  return networkWay(options, parts)
}

async function networkWay({ listen }: WayOptions, parts: WayParts): Promise<Way> {
  const [{ NetworkWay }, { openLine }] = await Promise.all([import('./network-way.ts'), import('./line.ts')])
  const place = listenOf(listen)
  return new NetworkWay(
    async (desk, guests) => {
      const line = await openLine(desk, { ...parts, ...place }, guests)
      parts.onToken(line.token)
      return line
    },
    systemTimers,
    boardPatience,
  )
}

async function serialWay(path: string, { baud, consoleUser, consolePassword }: WayOptions, parts: WayParts): Promise<Way> {
  const [{ SerialWay }, { openSerialPort }] = await Promise.all([import('./serial-way.ts'), import('./serial-port.ts')])
  const login = consoleUser === undefined ? {} : { login: { user: consoleUser, password: consolePassword } }
  return new SerialWay(() => openSerialPort(path, baud), { ...parts, timers: systemTimers, ...login })
}

/** Where the door is to be, if that was typed: `ADDR:PORT`, `[ADDR]:PORT` or `PORT`; throws AditError `usage`. */
export const listenOf = (text: string | undefined): Pick<LineParts, 'listen'> =>
  text === undefined ? {} : { listen: parseListen(text) }

function parseListen(text: string): { host?: string; port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3] ?? Number.NaN)
  if (match === null || port > 65_535) {
    throw new AditError('usage', `"${text}" is no address to listen at.`, 'Write it as ADDR:PORT, for example 192.168.50.1:8445.')
  }
  const host = match[1] ?? match[2]
  return { port, ...(host !== undefined && { host }) }
}

const oneWay = (): AditError =>
  new AditError(
    'usage',
    'Say by which way the board gets its identity: --into PATH, --network or --serial DEVICE, one of them.',
    'For a card: adit station provision SERIAL --into /media/card',
  )
