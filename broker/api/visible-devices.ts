import type { Principal } from '#broker/registry/principal.ts'
import type { Registry } from '#broker/registry/registry.ts'
import { checkName, escapeText } from '#shared/enrolment/name.ts'
import { AditError } from '#shared/errors.ts'
import type { WallTime } from '#shared/time/instant.ts'

/** What an operator may see: the devices of their grants; an administrator sees all (part of every grant, D14). */
export class VisibleDevices {
  readonly #registry: Pick<Registry, 'directory' | 'policy' | 'audit'>

  constructor(registry: Pick<Registry, 'directory' | 'policy' | 'audit'>) {
    this.#registry = registry
  }

  /** In order of name. */
  all(operator: Principal, now: WallTime): Principal[] {
    return [...this.#registry.directory.all('device')]
      .filter((device) => this.#isLatest(device) && this.#sees(operator, device, now))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Throws `name-invalid`, `device-unknown` or `forbidden`. A revoked device is still shown, so that its name explains itself. */
  one(operator: Principal, text: string, now: WallTime): Principal {
    const name = checkName(text)
    const device = this.#registry.directory.byName('device', name)
    if (device === undefined) throw unknownDevice(name)
    if (!this.#sees(operator, device, now)) {
      this.#refuse(operator, device)
      throw forbidden(operator, device)
    }
    return device
  }

  /** Of several that have had one name, the living or the last. */
  #isLatest(device: Principal): boolean {
    return this.#registry.directory.byName('device', device.name) === device
  }

  #refuse(operator: Principal, device: Principal): void {
    const row = {
      actor: `operator:${operator.name}`,
      action: 'device.refused',
      subject: `device:${device.name}`,
      deviceId: device.id,
    }
    // Who is refused need not wait for the row; a failure to write it is logged by the store.
    void this.#registry.audit.append(row).catch(() => {})
  }

  #sees(operator: Principal, device: Principal, now: WallTime): boolean {
    // Policy closes revoked devices to everybody; whoever could see it before may see that, and since when, it is revoked.
    const { revokedAt: _, ...asItWas } = device
    return this.#registry.policy.sees(operator, asItWas, now)
  }
}

const unknownDevice = (name: string): AditError =>
  new AditError('device-unknown', `There is no device "${escapeText(name)}".`, 'See the list: adit devices.')

const forbidden = (operator: Principal, device: Principal): AditError =>
  new AditError(
    'forbidden',
    `No grant lets ${operator.name} reach ${device.name}.`,
    `Ask an administrator for one: adit-broker grant add --operator ${operator.name} --tag TAG --port 22.`,
  )
