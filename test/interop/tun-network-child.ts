/**
 * A program with a TUN interface and its network, for tun-network.test.ts: argument 1 is an Order in JSON, made at the start; further ones come as
 * lines on standard input. Speaks JSON lines on standard output: `done` or `refused` to each, `sent` with what has entered the interface.
 */
import { createInterface } from 'node:readline'
import { isAditError } from '#shared/errors.ts'
import { createLog } from '#shared/platform/log.ts'
import { TunNetwork, type TunNetworkOptions } from '#shared/platform/tun-network/tun-network.ts'
import type { TunPlan } from '#shared/platform/tun-network/tun-plan.ts'
import { formatAddress } from '#shared/wire/ip-address.ts'
import { Tun } from '#test/lab/tun.ts'

export interface Order {
  /** `spin`: apply, change and undo, again and again, until killed. */
  readonly op: 'open' | 'apply' | 'change' | 'renew' | 'undo' | 'recover' | 'spin' | 'sent'
  readonly plan?: TunPlan
  readonly options?: Omit<TunNetworkOptions, 'log'>
}

let options: TunNetworkOptions
let tun: Tun | undefined
let network: TunNetwork | undefined
const sent = new Map<string, number>()

const say = (event: object): void => {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

/** Counts by protocol and destination: `17 192.0.2.1`. */
function note(packet: Uint8Array): void {
  const four = packet[0]! >> 4 === 4
  const key = `${packet[four ? 9 : 6]} ${four ? formatAddress(packet, 16, 4) : formatAddress(packet, 24, 16)}`
  sent.set(key, (sent.get(key) ?? 0) + 1)
}

async function obey({ op, plan, options: given }: Order): Promise<unknown> {
  if (given !== undefined) options = { ...given, log: createLog('warn', 'child') }
  if (plan !== undefined && tun === undefined) tun = new Tun(plan.name, note)
  if (op === 'sent') return Object.fromEntries(sent)
  if (op === 'recover') return TunNetwork.recover(options)
  if (op === 'apply') {
    network = await TunNetwork.apply(plan!, options)
    tun!.start()
  } else if (op === 'change') await network!.change(plan!)
  else if (op === 'renew') await network!.renew()
  else if (op === 'undo') await network!.undo()
  else if (op === 'spin') await spin(plan!)
  return undefined
}

async function spin(plan: TunPlan): Promise<void> {
  say({ event: 'spinning' })
  const { all, ...split } = plan
  for (;;) {
    const spun = await TunNetwork.apply(plan, options)
    await spun.change(split)
    await spun.change({ ...split, all: { outside: [...all!.outside, '198.51.100.77', '2001:db8::77'], dns: all!.dns } })
    await spun.undo()
  }
}

async function answer(order: Order): Promise<void> {
  try {
    say({ event: 'done', op: order.op, result: await obey(order) })
  } catch (error) {
    const why = isAditError(error) ? error.toJSON() : { error: 'thrown', message: String(error) }
    say({ event: 'refused', op: order.op, ...why })
  }
}

let last = answer(JSON.parse(process.argv[2]!))
createInterface({ input: process.stdin })
  .on('line', (line) => {
    last = last.then(() => answer(JSON.parse(line)))
  })
  .on('close', () => process.exit(0))
