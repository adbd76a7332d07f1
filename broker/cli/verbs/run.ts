import type { Command } from 'commander'
import type { Config } from '#broker/config.ts'
import type { Terminal } from '../terminal.ts'
import { type CommonOptions, collect, deskOf, usage, verb } from '../verb.ts'

interface Options extends CommonOptions {
  listen?: string
  api?: string
  endpoint?: string[]
  apiName?: string[]
  port500?: string | true
  stunAlternate?: string[]
  websocket?: string
  tun?: string | true
  log?: string
}

/** `adit-broker run`: until SIGTERM or SIGINT. */
export function run(parent: Command, terminal: Terminal): void {
  verb(parent, 'run', 'run the broker until SIGTERM', [
    'adit-broker run',
    'adit-broker run --data /srv/adit --listen 0.0.0.0:4500 --api 0.0.0.0:8443 --endpoint broker.example.com:4500',
  ])
    .option('--listen <addr:port>', 'UDP of the tunnels; port 0 picks a free one (default: :4500, all addresses)')
    .option('--api <addr:port>', 'HTTPS API, likewise (default: :8443)')
    .option('--endpoint <host:port>', 'what agents are told to send to, for a broker behind DNAT; repeatable', collect)
    .option('--api-name <host>', "further name of the API's certificate; repeatable", collect)
    .option('--port500 [addr:port]', 'take bare IKE on port 500 too, for IPsec peers that begin there (default: :500)')
    .option('--websocket <addr:port>', 'take WebSockets on another port than the API too: 443 gets through most firewalls')
    .option('--stun-alternate <addr:port>', 'second place where STUN is answered, for NAT discovery; repeatable', collect)
    .option('--tun [name]', "give this host's kernel an interface in the tunnels (default: adit0; root or CAP_NET_ADMIN)")
    .option('--log <level>', 'error, warn, info, debug, trace or silent')
    .action(async (options: Options) => {
      const desk = deskOf(terminal, options)
      const config = await withOptions(await desk.config(), options)
      const { runBroker } = await import('../io/run-broker.ts')
      await runBroker(desk.dataDir, config, (ready) => desk.print(ready, describe))
    })
}

const describe = ({ listen, api }: { listen: string; api: string }): string => `listening on ${listen} (UDP), API at ${api}\n`

/** The command line over the file. */
async function withOptions(
  config: Config,
  { listen, api, endpoint, apiName, port500, stunAlternate, websocket, tun, log }: Options,
): Promise<Config> {
  const { isPublicEndpoint, trySplitListen } = await import('#broker/config.ts')
  const { isInterfaceName } = await import('#shared/platform/tun-network/interface-name.ts')
  const { logLevels } = await import('#shared/platform/log.ts')
  const bare = port500 === true ? ':500' : port500
  for (const text of [listen, api, bare, websocket]) {
    if (text !== undefined && !trySplitListen(text)) throw usage(`${text} is no ADDR:PORT, [V6]:PORT or :PORT.`, 'run')
  }
  for (const text of endpoint ?? [])
    if (!isPublicEndpoint(text)) throw usage(`"${text}" is no HOST:PORT, as in broker.example.com:4500.`, 'run')
  const { parseEndpointText } = await import('#broker/endpoint-text.ts')
  for (const text of stunAlternate ?? [])
    if (!parseEndpointText(text)?.port) throw usage(`${text} is no ADDR:PORT or [V6]:PORT.`, 'run')
  if (typeof tun === 'string' && !isInterfaceName(tun))
    throw usage(`"${tun}" is no name of an interface: 1 to 15 letters, digits, dots and dashes.`, 'run')
  const logLevel = logLevels.find((level) => level === (log ?? config.logLevel))
  if (logLevel === undefined) throw usage(`${log} is no log level.`, 'run')
  return {
    ...config,
    listen: listen ?? config.listen,
    api: api ?? config.api,
    publicEndpoints: endpoint ?? config.publicEndpoints,
    apiNames: [...config.apiNames, ...(apiName ?? [])],
    ipsec: { ...config.ipsec, port500: bare ?? config.ipsec.port500 },
    websocket: { ...config.websocket, listen: websocket ?? config.websocket.listen },
    stunAlternates: stunAlternate ?? config.stunAlternates,
    tun: tun === true ? (config.tun ?? 'adit0') : (tun ?? config.tun),
    logLevel,
  }
}
