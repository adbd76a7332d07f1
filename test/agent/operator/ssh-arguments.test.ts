import assert from 'node:assert/strict'
import test from 'node:test'
import { parseSshArguments } from '#agent/operator/ssh-arguments.ts'

const parse = (line: string) => parseSshArguments(line.split(' '))

test('the device is found among every form of flag', () => {
  const rows: [line: string, flags: string[], device: string, user: string | undefined, port: number, command: string[]][] = [
    ['pi', [], 'pi', undefined, 22, []],
    ['root@pi', [], 'pi', 'root', 22, []],
    ['-i key -l root pi -- uname -a', ['-i', 'key', '-l', 'root'], 'pi', undefined, 22, ['uname', '-a']],
    ['-ikey -lroot pi uname -a', ['-i', 'key', '-l', 'root'], 'pi', undefined, 22, ['uname', '-a']],
    ['-tt -vvC pi', ['-t', '-t', '-v', '-v', '-C'], 'pi', undefined, 22, []],
    ['-vp 2222 pi', ['-v', '-p', '2222'], 'pi', undefined, 2222, []],
    ['-o BatchMode=yes -o Port=99 pi', ['-o', 'BatchMode=yes', '-o', 'Port=99'], 'pi', undefined, 99, []],
    ['pi -l root -- ls -l', ['-l', 'root'], 'pi', undefined, 22, ['ls', '-l']],
    ['-- pi ls -l', [], 'pi', undefined, 22, ['ls', '-l']],
    ['-- pi -- ls', [], 'pi', undefined, 22, ['ls']],
    ['pi ls -- x', [], 'pi', undefined, 22, ['ls', '--', 'x']],
    ['ssh://ann@pi:2200', [], 'pi', 'ann', 2200, []],
    ['a@b@pi.adit', [], 'pi', 'a@b', 22, []],
    ['-L 8080:localhost:80 -NT pi', ['-L', '8080:localhost:80', '-N', '-T'], 'pi', undefined, 22, []],
  ]
  for (const [line, flags, device, user, port, command] of rows)
    assert.deepEqual(parse(line), { flags, device, user, port, command }, line)
})

test('words that ssh would not take, or that would leave the tunnel, are refused with a sentence', () => {
  for (const line of ['-v', '-y -z pi', '-l', '--frobnicate pi', '-J jump pi', '-W a:22 pi', '-p http pi', '-o Port=0 pi', '--'])
    assert.throws(() => parse(line), { code: 'usage' }, line)
})
