import type { UnitDesk } from '#agent/station/unit-desk.ts'
import { AditError } from '#shared/errors.ts'
import { Mutex } from '#shared/platform/mutex.ts'
import { commandOutlet, freePath, type LabelOutlet, printerOutlet, writeLabels } from './io/label-outlet.ts'
import { type Label, labelOf } from './label.ts'
import { formOfFile, type LabelForm, type LabelWish, sizeOf } from './label-form.ts'
import { capacityOf, encodeLabels, type MadeLabel, makeLabel } from './made-label.ts'

/** The ledger's side of labels. */
export interface LabelBook {
  /** On disk when it resolves. Returns how often this unit's label has been asked for, this time included. */
  labelled(serial: string, of: { certificateSerial: string; spkiSha256: string }): Promise<number>
}

export interface LabelPorts {
  readonly desk: Pick<UnitDesk, 'record' | 'step'>
  readonly book: LabelBook
  /** https URL of the page where units are taken over. */
  readonly pairing: string
}

export interface PrintedLabel extends Label {
  /** 1 for the first; a reprint is counted. */
  readonly copy: number
  /** The file where it stands; undefined where it went to a printer alone. */
  readonly file: string | undefined
}

/** Undefined where no label is wished for. Throws AditError `usage` for a wish that cannot be, before any unit is begun. */
export function openLabels(wish: LabelWish, ports: LabelPorts): LabelPrinter | undefined {
  sizeOf(wish)
  const files = wish.label === undefined ? undefined : new LabelFiles(wish.label, wish)
  const outlets: [LabelForm, LabelOutlet][] = []
  if (wish.printer !== undefined) outlets.push(['zpl', printerOutlet(wish.printer)])
  if (wish.printCommand !== undefined) outlets.push([wish.printForm ?? 'pdf', commandOutlet(wish.printCommand)])
  return files === undefined && outlets.length === 0 ? undefined : new LabelPrinter(wish, ports, files, outlets)
}

/**
 * Labels of units, one after another. Each is made from the ledger's record at the moment when it is printed: a label names the key that
 * the unit has, or there is none.
 */
export class LabelPrinter {
  readonly #wish: LabelWish
  readonly #ports: LabelPorts
  readonly #files: LabelFiles | undefined
  readonly #outlets: readonly (readonly [LabelForm, LabelOutlet])[]
  readonly #turn = new Mutex()

  constructor(
    wish: LabelWish,
    ports: LabelPorts,
    files: LabelFiles | undefined,
    outlets: readonly (readonly [LabelForm, LabelOutlet])[],
  ) {
    this.#wish = wish
    this.#ports = ports
    this.#files = files
    this.#outlets = outlets
  }

  /** Throws AditError `unit-unknown`, `label-refused`, `printer-failed`, or what writing a file throws. The unit stays as it is. */
  async print(serial: string): Promise<PrintedLabel> {
    const leave = await this.#turn.enter()
    try {
      return await this.#printNow(serial)
    } finally {
      leave()
    }
  }

  async #printNow(serial: string): Promise<PrintedLabel> {
    const { desk, book, pairing } = this.#ports
    const record = await desk.record(serial)
    if (record === undefined) throw unknownUnit(serial)
    const label = labelOf(record, pairing)
    // Laid out before it is counted: what does not fit was never printed.
    const made = new Map<LabelForm, MadeLabel>()
    for (const form of new Set([...(this.#files ? [this.#files.form] : []), ...this.#outlets.map(([form]) => form)]))
      made.set(form, await makeLabel(label, form, this.#wish))
    const of = { certificateSerial: label.certificateSerial, spkiSha256: label.fingerprint }
    // Counted before it leaves: after a power cut there may be one label fewer than the ledger says, and never one more.
    const copy = await book.labelled(label.serial, of)
    const file = await this.#files?.add(made.get(this.#files.form)!)
    for (const [form, outlet] of this.#outlets) await outlet.put(await encodeLabels([made.get(form)!], form, this.#wish))
    desk.step(label.serial, 'labelled')
    return { ...label, copy, file }
  }
}

/** Files of labels: one a unit where the path names it, else sheets that are filled one after another. */
class LabelFiles {
  readonly form: LabelForm
  readonly #pattern: string
  readonly #wish: LabelWish
  #path = ''
  #labels: MadeLabel[] = []

  constructor(pattern: string, wish: LabelWish) {
    this.form = formOfFile(pattern)
    this.#pattern = pattern
    this.#wish = wish
  }

  /** On disk when it resolves, with where. */
  async add(made: MadeLabel): Promise<string> {
    const path = this.#pathOf(made.label)
    const labels = path === this.#path ? [...this.#labels, made] : [made]
    await writeLabels(path, await encodeLabels(labels, this.form, this.#wish))
    this.#path = path
    this.#labels = labels
    return path
  }

  #pathOf({ serial, name }: Label): string {
    // A colon is no part of a file name on a FAT stick.
    const own = this.#pattern.replaceAll('{serial}', serial.replaceAll(':', '-')).replaceAll('{name}', name)
    if (own !== this.#pattern) return own
    const isFull = this.#labels.length >= capacityOf(this.form, this.#wish)
    return this.#path !== '' && !isFull ? this.#path : freePath(this.#pattern)
  }
}

const unknownUnit = (serial: string): AditError =>
  new AditError('unit-unknown', `The ledger has no unit ${serial}.`, 'See which it has: adit station log')
