import type { TestContext } from 'node:test'
import { type Host, Internet } from '#test/lab/namespaces.ts'

/**
 * Where a tunnel is measured: namespaces of this machine, joined by veth pairs with an MTU of 1500.
 *
 *     pair    a 10.99.0.1 ── 10.99.0.2 b
 *     relay   a 10.99.1.2 ── 10.99.1.1 hop 10.99.2.1 ── 10.99.2.2 b      the hop forwards nothing outside the tunnels
 */
export interface Bed {
  readonly a: Host
  readonly b: Host
  /** Outer addresses. */
  readonly outerA: string
  readonly outerB: string
  /** The wires' names in a and in b. */
  readonly wireA: string
  readonly wireB: string
  /** What stands between the two; its outer addresses towards a and towards b. */
  readonly hop: { readonly host: Host; readonly towardsA: string; readonly towardsB: string } | undefined
}

export interface RelayBed extends Bed {
  readonly hop: NonNullable<Bed['hop']>
}

export function pairBed(t: Pick<TestContext, 'after'>): Bed {
  const internet = Internet.open(t)
  const [a, b] = [internet.host('a'), internet.host('b')]
  const [wireA, wireB] = internet.link({ host: a, addresses: ['10.99.0.1/24'] }, { host: b, addresses: ['10.99.0.2/24'] })
  return { a, b, outerA: '10.99.0.1', outerB: '10.99.0.2', wireA, wireB, hop: undefined }
}

export function relayBed(t: Pick<TestContext, 'after'>): RelayBed {
  const internet = Internet.open(t)
  const [a, host, b] = [internet.host('a'), internet.host('hop'), internet.host('b')]
  const [towardsA, towardsB] = ['10.99.1.1', '10.99.2.1']
  const [wireA] = internet.link({ host: a, addresses: ['10.99.1.2/24'] }, { host, addresses: [`${towardsA}/24`] })
  const [, wireB] = internet.link({ host, addresses: [`${towardsB}/24`] }, { host: b, addresses: ['10.99.2.2/24'] })
  return { a, b, outerA: '10.99.1.2', outerB: '10.99.2.2', wireA, wireB, hop: { host, towardsA, towardsB } }
}
