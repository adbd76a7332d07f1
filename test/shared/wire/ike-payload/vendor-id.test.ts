import { fromHex } from '#shared/bytes/hex.ts'
import { testForm } from './payload-form.ts'

testForm('Vendor ID', {
  type: 43,
  body: '54b9346587ab52f60aba0d09345bda05',
  payload: { kind: 'vendor-id', id: fromHex('54b9346587ab52f60aba0d09345bda05') },
})

testForm('Vendor ID without bytes', { type: 43, body: '', payload: { kind: 'vendor-id', id: new Uint8Array(0) } })
