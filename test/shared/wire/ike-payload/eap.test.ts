import { fromHex } from '#shared/bytes/hex.ts'
import { testForm } from './payload-form.ts'

testForm('EAP', { type: 48, body: '01 00 0005 01', payload: { kind: 'eap', data: fromHex('0100000501') } })
