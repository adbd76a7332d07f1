import { AditError } from '#shared/errors.ts'
import type { Wire } from './wire.ts'

const usualBaud = 115_200

/** Opens a serial port by the optional library `serialport`. Throws AditError `feature-missing`, `device-busy`, `permission-missing`, `not-found`. */
export async function openSerialPort(path: string, baud = usualBaud): Promise<Wire> {
  const { SerialPort } = await import('serialport').catch((cause) => {
    throw new AditError(
      'feature-missing',
      'Serial consoles need the package serialport, which is not installed here.',
      'Install it beside adit (npm install serialport), or provision by card or network.',
      { cause },
    )
  })
  const port = new SerialPort({ path, baudRate: baud, autoOpen: false })
  await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(portError(error, path)) : resolve())))
  return {
    write: (text) => void port.write(text, 'latin1'),
    onData: (listener) => void port.on('data', listener),
    onEnd: (listener) => {
      port.on('close', listener)
      port.on('error', listener)
    },
    close: () => new Promise((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve())),
  }
}

function portError(cause: Error, path: string): AditError {
  if (/No such file|ENOENT/i.test(cause.message))
    return new AditError('not-found', `There is no serial port ${path}.`, 'Plug the cable in; ls /dev/ttyUSB* /dev/ttyACM*', {
      cause,
    })
  if (/denied|EACCES|EPERM/i.test(cause.message))
    return new AditError('permission-missing', `This user may not open ${path}.`, 'Join the group dialout, and log in again.', {
      cause,
    })
  if (/lock|busy|temporarily/i.test(cause.message))
    return new AditError('device-busy', `${path} is in use by another program.`, 'Close the terminal program that has it open.', {
      cause,
    })
  return new AditError('line-lost', `${path} cannot be opened: ${cause.message}.`, 'Look at the cable and the adapter.', {
    cause,
  })
}
