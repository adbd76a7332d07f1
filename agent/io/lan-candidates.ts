import { networkInterfaces } from 'node:os'
import { type Candidate, mayBeProbed } from '#shared/nat/candidate.ts'

/** Links between this machine and its own containers and virtual machines, and our own: nobody else is there. */
const ownLinks = /^(docker|br-|veth|virbr|vnet|lxc|lxd|cni|flannel|cali|podman|tun|tap|wg|adit|utun)/
/** More addresses than a machine in one place has. */
const addressLimit = 6

/** Where this machine may be met on the networks that it is in, at the UDP port that it listens on. `tun`: the tunnel's own interface. */
export function lanCandidates(port: number | undefined, tun?: string): Candidate[] {
  if (port === undefined) return []
  const addresses = Object.entries(networkInterfaces())
    .filter(([name]) => name !== tun && !ownLinks.test(name))
    .flatMap(([, all = []]) => all.filter(({ internal }) => !internal).map(({ address }) => address))
  return addresses
    .map((address): Candidate => ({ kind: 'host', endpoint: { address, port } }))
    .filter(({ endpoint }) => mayBeProbed(endpoint))
    .slice(0, addressLimit)
}
