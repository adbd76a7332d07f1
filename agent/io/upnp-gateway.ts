import { request } from 'node:http'
import type { Timers } from '#shared/platform/timers.ts'
import { UdpSocket } from '#shared/platform/udp.ts'
import { milliseconds } from '#shared/time/instant.ts'
import { decodeSearchAnswer, encodeSearch, gatewayDevice, SSDP_GROUP, SSDP_PORT } from '#shared/wire/ssdp.ts'
import {
  elementIn,
  encodeIgdAction,
  findIgdService,
  type IgdService,
  igdFaultOf,
  longestDocument,
} from '#shared/wire/upnp-igd.ts'

/** Answers are waited for so long, and asked for a second time in the midst of it. */
const searchFor = milliseconds(3_000)
const searchAgain = milliseconds(1_000)
const answersWithin = 1
/** Patience with a gateway's HTTP server, ms. */
const patience = 4_000

/** The gateway answered with a fault; `code`: of UPnP, undefined where it said none. */
export class IgdFault extends Error {
  readonly code: number | undefined

  constructor(code: number | undefined, status: number) {
    super(code === undefined ? `status ${status}` : `error ${code}`)
    this.code = code
  }
}

/** The port mapping service of a gateway that speaks UPnP. */
export class UpnpGateway {
  readonly #client: string
  readonly #control: URL
  readonly #service: IgdService

  private constructor(client: string, control: URL, service: IgdService) {
    this.#client = client
    this.#control = control
    this.#service = service
  }

  /**
   * Asks whether `gateway` (a literal IPv4 address) has one; `client`: our address on the way to it. Only what the gateway says of itself,
   * at its own address, is believed: whoever else answers on this network leads us nowhere. Undefined where there is none.
   */
  static async find(gateway: string, client: string, timers: Timers): Promise<UpnpGateway | undefined> {
    const location = await search(gateway, client, timers)
    if (location === undefined) return undefined
    const { status, body } = await exchange(location, client, 'GET', {}, '')
    const service = status === 200 ? findIgdService(body) : undefined
    if (service === undefined || !URL.canParse(service.controlUrl, location.href)) return undefined
    const control = new URL(service.controlUrl, location)
    if (control.protocol !== 'http:' || control.hostname !== gateway) return undefined
    return new UpnpGateway(client, control, service)
  }

  /** `seconds`: of the lease, 0 for one without an end. Throws IgdFault. */
  async addMapping(externalPort: number, internalPort: number, seconds: number): Promise<void> {
    await this.#act('AddPortMapping', {
      ...mappingOf(externalPort),
      NewInternalPort: internalPort,
      NewInternalClient: this.#client,
      NewEnabled: 1,
      NewPortMappingDescription: 'adit',
      NewLeaseDuration: seconds,
    })
  }

  /** Throws IgdFault. */
  async deleteMapping(externalPort: number): Promise<void> {
    await this.#act('DeletePortMapping', mappingOf(externalPort))
  }

  /** As the gateway has it: text that is yet to be read as an address. Throws IgdFault. */
  async externalAddress(): Promise<string> {
    return elementIn(await this.#act('GetExternalIPAddress', {}), 'NewExternalIPAddress') ?? ''
  }

  async #act(action: string, args: Readonly<Record<string, string | number>>): Promise<string> {
    const { headers, body } = encodeIgdAction(this.#service.type, action, args)
    const answer = await exchange(this.#control, this.#client, 'POST', headers, body)
    if (answer.status !== 200) throw new IgdFault(igdFaultOf(answer.body), answer.status)
    return answer.body
  }
}

const mappingOf = (externalPort: number) => ({ NewRemoteHost: '', NewExternalPort: externalPort, NewProtocol: 'UDP' })

/** Where the gateway describes itself. */
async function search(gateway: string, client: string, timers: Timers): Promise<URL | undefined> {
  let found!: (location: URL | undefined) => void
  const location = new Promise<URL | undefined>((resolve) => (found = resolve))
  const socket = await UdpSocket.bind({
    ...{ address: client, port: 0 },
    onDatagram(datagram, from) {
      const url = from.address === gateway ? decodeSearchAnswer(datagram) : undefined
      if (url?.hostname === gateway) found(url)
    },
  })
  const ask = (): void => {
    const question = encodeSearch(gatewayDevice, answersWithin)
    for (const address of [gateway, SSDP_GROUP]) socket.send(question, { address, port: SSDP_PORT })
  }
  ask()
  const pending = [timers.setTimer(searchAgain, ask), timers.setTimer(searchFor, () => found(undefined))]
  try {
    return await location
  } finally {
    for (const timer of pending) timer.clear()
    await socket.close()
  }
}

/** One request to a gateway, and its answer's first 64 K characters. Never follows a redirection. */
function exchange(
  url: URL,
  localAddress: string,
  method: string,
  headers: Record<string, string>,
  body: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, {
      ...{ method, localAddress, agent: false, timeout: patience, signal: AbortSignal.timeout(patience) },
      headers: { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' },
    })
    asked.on('timeout', () => asked.destroy(new Error('the gateway does not answer')))
    asked.on('error', reject)
    asked.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
        if (text.length > longestDocument) asked.destroy(new Error('the answer is too long'))
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      response.on('error', reject)
    })
    asked.end(body)
  })
}
