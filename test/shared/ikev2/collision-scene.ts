import { test } from 'node:test'
import { type EndOptions, otherSide, type Parcel, type Side, TwoEnds } from './two-ends.ts'

/** How the scenarios of strongSwan's collision suites are run, and the beginnings that many of them share. */

/** Several, since the nonces decide who wins. */
const seeds = [1, 2, 3, 4, 5, 6]

export interface Scene {
  readonly town: TwoEnds
  /** Who is told to do the first thing in the scenario. */
  readonly x: Side
  readonly y: Side
}

export type Play = (scene: Scene) => void

/** How both ends are set up where they are not as usual. */
export interface Ends {
  readonly a?: EndOptions
  readonly b?: EndOptions
}

/** Has the scenario played with either end in either part. */
export function eitherFirst(name: string, play: Play, ends: Ends = {}): void {
  for (const x of ['a', 'b'] as const) {
    test(`${name}, ${x} first`, () => {
      for (const seed of seeds) play({ town: new TwoEnds({ seed, ...ends }).connect(), x, y: otherSide[x] })
    })
  }
}

/** All that is on its way arrives, then time passes. */
export function comeToRest(town: TwoEnds): void {
  town.settle()
  town.run(90)
}

/** What both have sent crosses: each of the two was sent before the other arrived. */
export function cross({ town, x, y }: Scene): void {
  const [fromX, fromY] = [town.hold(x), town.hold(y)]
  town.deliver(fromX)
  town.deliver(fromY)
}

type Ask = (town: TwoEnds, side: Side) => void

/** Both ask for the same, and their requests cross. */
export function collide(scene: Scene, ask: Ask): void {
  ask(scene.town, scene.x)
  ask(scene.town, scene.y)
  cross(scene)
}

/** Both ask for the same; the request of `y`, which is returned, is still on its way when `x` has its answer. */
export function delayedRequest({ town, x, y }: Scene, ask: Ask): Parcel {
  ask(town, x)
  ask(town, y)
  const [fromX, late] = [town.hold(x), town.hold(y)]
  town.deliver(fromX)
  town.pass(y)
  return late
}
