import type { Suite } from '#shared/crypto/suite.ts'
import { certificateCredential } from '#shared/ikev2/authentication.ts'
import { caKeyHash } from '#shared/ikev2/cert-request.ts'
import { subjectIkeId } from '#shared/ikev2/certificate-id.ts'
import { defaultChildLifetime } from '#shared/ikev2/default-lifetime.ts'
import { defaultIkeSettings } from '#shared/ikev2/ike-context.ts'
import type { ChildPolicy, IkeOwner } from '#shared/ikev2/peer-policy.ts'
import { parseProposals } from '#shared/ikev2/proposal.ts'
import { fromCidr } from '#shared/ikev2/traffic-selectors.ts'
import { parseChain, verifyChain } from '#shared/pki/chain.ts'
import { commonName } from '#shared/pki/distinguished-name.ts'
import { verifySignature } from '#shared/pki/signature.ts'
import { instant } from '#shared/time/instant.ts'
import type { EspAssociation } from '#shared/tunnel/esp-association.ts'
import { EspEndpoint } from '#shared/tunnel/esp-endpoint.ts'
import type { EspEndpointOptions } from '#shared/tunnel/esp-options.ts'
import { ProtocolId } from '#shared/wire/ike-numbers.ts'
import { type Made, makeLeaf, makeRoot, now as wall } from '#test/shared/pki/built-chain.ts'
import { agreementCost, inAgreements } from './agreement.ts'
import { providers } from './providers.ts'
import type { BenchRow } from './row.ts'

export const name = 'ike'

const peers = 100
const rounds = 16
/** Rounds in which the compiler is still at work; they are left out. */
const warmUp = 8
/** How often each device comes back, the gateway having been restarted each time. */
const returns = 4
/** Returns a second. */
const resumptionBar = 3_000
const gatewayAt = { address: '192.0.2.1', port: 4500 }
const deviceAddress = '198.51.100.7'
const anyKey = '0'.repeat(64)
const everything = [fromCidr({ address: new Uint8Array(16), prefix: 0 })]
const child: ChildPolicy = {
  proposals: parseProposals(['aes256gcm16-x25519-esn'], ProtocolId.Esp),
  localSelectors: everything,
  remoteSelectors: everything,
  lifetime: defaultChildLifetime,
}

/**
 * Devices with certificates of their own, over P-256, knock at one endpoint: IKE_SA_INIT (cookie, key exchange, keys), IKE_AUTH (the chain
 * judged, AUTH verified and made, a Child SA), each with a certificate that the gateway has not seen before. Then they return with their
 * tickets. CPU time of this process during the gateway's turns alone, so that neither the devices nor a neighbour on the machine count.
 */
export async function run(): Promise<BenchRow[]> {
  return (await providers()).flatMap((suite) => ['x25519', 'ecp256'].flatMap((group) => rowsOf(suite, group)))
}

function rowsOf(suite: Suite, group: string): BenchRow[] {
  const { full, resumed, agreement } = measure(suite, `aes256gcm16-prfsha256-${group}`)
  const beside = `the bare cryptography of it: ${Math.round(bareRate(suite, group))} per second`
  const told = `${group}, ${suite.name} suite`
  const unit = 'per second'
  const first: BenchRow = {
    figure: `IKE_SA_INIT and IKE_AUTH as responder, P-256 certificates, ${told}`,
    value: full,
    unit,
    bar: '>= 400',
    beside,
  }
  if (group !== 'x25519') return [first]
  const figure = `IKE session resumption as responder, ${suite.name} suite`
  const second = inAgreements(resumed, agreement, resumptionBar)
  return [first, { figure, value: resumed, unit, bar: `>= ${resumptionBar}`, beside: second }]
}

/** Exchanges a second, and what an X25519 agreement costs meanwhile (us): medians of the rounds. */
function measure(suite: Suite, proposal: string): { full: number; resumed: number; agreement: number } {
  const root = makeRoot()
  const full: number[] = []
  const resumed: number[] = []
  const agreements: number[] = []
  const tickets = [suite.random(32)]
  for (let round = 0; round < rounds; round++) {
    const lobby = new Lobby(suite)
    const gateway = lobby.gateway(root, proposal, tickets)
    const devices = Array.from({ length: peers }, (_, i) => lobby.device(root, proposal, `device ${round} ${i}`))
    full.push(peers / lobby.serve(gateway))
    if (lobby.established !== peers) throw new Error(`${lobby.established} of ${peers} devices came in`)
    agreements.push(agreementCost(suite))
    for (let time = 0; time < returns; time++) {
      const restarted = lobby.gateway(root, proposal, tickets)
      for (const { endpoint, hub } of devices) {
        hub.reset()
        endpoint.initiate(hub, instant(3))
      }
      resumed.push(peers / lobby.serve(restarted))
    }
    if (lobby.established !== (1 + returns) * peers) throw new Error('not every device returned each time')
    if (lobby.judged !== peers) throw new Error(`${lobby.judged - peers} devices had to show their certificates again`)
  }
  const settled = { full: full.slice(warmUp), resumed: resumed.slice(warmUp * returns), agreement: agreements.slice(warmUp) }
  return { full: median(settled.full), resumed: median(settled.resumed), agreement: median(settled.agreement) }
}

/** What no responder can do without: one key pair and one agreement, the peer's certificate and its AUTH verified, our own AUTH made. */
function bareRate(suite: Suite, group: string): number {
  const exchange = group === 'x25519' ? suite.x25519 : suite.ecdhP256
  const root = makeRoot()
  const leaves = Array.from({ length: 50 }, () => makeLeaf(root))
  const theirs = leaves.map(() => exchange.generate().publicKey)
  const octets = suite.random(700)
  const proofs = leaves.map(({ pair }) => suite.ecdsaP256.sign(pair, octets))
  const rates = Array.from({ length: rounds }, () => {
    const before = process.cpuUsage()
    for (const [index, { certificate, pair }] of leaves.entries()) {
      exchange.shared(exchange.generate(), theirs[index]!)
      suite.ecdsaP256.sign(pair, octets)
      const algorithm = certificate.signatureAlgorithm!
      const good = [
        verifySignature(algorithm, root.certificate.publicKey, certificate.tbs, certificate.signature),
        verifySignature(algorithm, { ...certificate.publicKey }, octets, proofs[index]!),
      ]
      if (good.includes(false)) throw new Error('a signature did not verify')
    }
    const { user, system } = process.cpuUsage(before)
    return (leaves.length * 1e6) / (user + system)
  })
  return median(rates.slice(warmUp))
}

/** What lies between devices and gateway: all that one side says is written before the other hears any of it. */
class Lobby {
  established = 0
  /** Chains that gateways judged. */
  judged = 0
  readonly #suite: Suite
  readonly #toGateway: { datagram: Uint8Array; port: number }[] = []
  readonly #toDevices: { datagram: Uint8Array; port: number }[] = []
  readonly #byPort = new Map<number, EspEndpoint>()

  constructor(suite: Suite) {
    this.#suite = suite
  }

  gateway(root: Made, proposal: string, ticketKeys: readonly Uint8Array[]): EspEndpoint {
    const leaf = makeLeaf(root, { subject: commonName('gateway') })
    const judge: IkeOwner['judge'] = (chain) => {
      this.judged++
      const { leaf: shown, intermediates } = parseChain(chain)
      return verifyChain(shown, intermediates, { anchors: [root.certificate], now: wall, purposes: [] })[0]!
    }
    return new EspEndpoint({
      suite: this.#suite,
      underLoad: () => false,
      ports: {
        transmit: (datagram, { port }) => this.#toDevices.push({ datagram: datagram.slice(), port }),
        event: () => {},
      },
      ike: identity(this.#suite, root, leaf, proposal, judge, ticketKeys),
      onFailure: (failure) => {
        throw new Error(failure.message)
      },
    })
  }

  device(root: Made, proposal: string, title: string): { endpoint: EspEndpoint; hub: EspAssociation } {
    const port = 10_000 + this.#byPort.size
    const endpoint = new EspEndpoint({
      suite: this.#suite,
      ports: {
        transmit: (datagram) => this.#toGateway.push({ datagram: datagram.slice(), port }),
        event: ({ kind }) => {
          if (kind === 'established') this.established++
        },
      },
      ike: identity(
        this.#suite,
        root,
        makeLeaf(root, { subject: commonName(title) }),
        proposal,
        (chain) => parseChain(chain).leaf,
        [],
      ),
      onFailure: (failure) => {
        throw new Error(failure.message)
      },
    })
    this.#byPort.set(port, endpoint)
    const initiation = { expectedId: undefined, child }
    const hub = endpoint.addPeer({ peerKey: anyKey, endpoint: gatewayAt, initiation, firstContact: true }, instant(0))
    return { endpoint, hub }
  }

  /** Until nobody has anything more to say. CPU seconds that the gateway took. */
  serve(gateway: EspEndpoint): number {
    let spent = 0
    while (this.#toGateway.length > 0) {
      const letters = this.#toGateway.splice(0)
      const before = process.cpuUsage()
      for (const { datagram, port } of letters) gateway.handleControl(datagram, { address: deviceAddress, port }, instant(2))
      const { user, system } = process.cpuUsage(before)
      spent += (user + system) / 1e6
      for (const { port, datagram } of this.#toDevices.splice(0))
        this.#byPort.get(port)!.handleControl(datagram, gatewayAt, instant(2))
    }
    return spent
  }
}

function identity(
  suite: Suite,
  root: Made,
  leaf: Made,
  proposal: string,
  judge: IkeOwner['judge'],
  ticketKeys: readonly Uint8Array[],
): EspEndpointOptions['ike'] {
  return {
    owner: {
      judge,
      preSharedKey: () => undefined,
      ppk: () => undefined,
      admit: ({ idText, proof }) => {
        const isDevice = idText !== 'CN=gateway'
        const peerKey = isDevice && proof.kind === 'certificate' ? proof.spkiSha256 : anyKey
        return { peerKey, name: idText, child, virtualAddresses: [], dns: [] }
      },
    },
    localIds: [subjectIkeId(leaf.certificate)],
    credential: certificateCredential([leaf.certificate.der], { kind: 'p256', pair: leaf.pair }, suite),
    authorities: [caKeyHash(root.certificate, suite)],
    proposals: parseProposals([proposal], ProtocolId.Ike),
    ticketKeys,
    settings: defaultIkeSettings,
    wall: () => wall,
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!
