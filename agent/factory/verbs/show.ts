import { type FactoryOptions, fingerprint, openFactory } from '#agent/factory/factory-options.ts'
import { type BoardRecord, listBoards, readBoard } from '#agent/factory/io/board-record.ts'
import type { OperatorContext } from '#agent/operator/context.ts'
import { checkSerial } from '#shared/enrolment/unit-serial.ts'
import { AditError } from '#shared/errors.ts'
import { encodePem } from '#shared/pki/pem.ts'
import { table } from '#shared/terminal/table.ts'

/** `adit factory show [SERIAL]`: what the maker has said, of all boards or of one. */
export async function factoryShow(context: OperatorContext, serial: string | undefined, options: FactoryOptions): Promise<void> {
  const factory = await openFactory(context, options)
  const root = fingerprint(factory.root)
  const serials = serial === undefined ? await listBoards(factory.path) : [checkSerial(serial)]
  const boards = await Promise.all(serials.map((one) => readBoard(factory.path, one)))
  if (serial !== undefined && boards[0]?.idevids.length === 0 && boards[0].vouchers.length === 0)
    throw new AditError('not-found', `This factory knows no board ${checkSerial(serial)}.`, 'See: adit factory show')
  if (context.json) return context.write(`${JSON.stringify({ folder: factory.path, root, boards })}\n`)
  context.note(`Factory ${factory.path}, root ${root}`)
  await context.write(table([['SERIAL', 'IDEVIDS', 'VOUCHERS', 'LAST OWNER', 'SINCE'], ...boards.map(row)]))
}

const row = ({ serial, idevids, vouchers }: BoardRecord): string[] => {
  const last = vouchers.at(-1)
  return [
    serial,
    String(idevids.length),
    String(vouchers.length),
    last?.owner.slice(0, 16) ?? '-',
    last ? new Date(last.createdOn).toISOString() : '-',
  ]
}

/** `adit factory trust-anchor`: the root by which brokers know this maker's boards. */
export async function factoryTrustAnchor(context: OperatorContext, options: FactoryOptions): Promise<void> {
  const { root } = await openFactory(context, options)
  const pem = encodePem('CERTIFICATE', root.der)
  await context.write(context.json ? `${JSON.stringify({ root: fingerprint(root), pem })}\n` : pem)
}
