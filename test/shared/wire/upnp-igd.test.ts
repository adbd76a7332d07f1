import assert from 'node:assert/strict'
import test from 'node:test'
import { elementIn, encodeIgdAction, findIgdService, igdFaultOf } from '#shared/wire/upnp-igd.ts'
import fc from '#test/lab/properties.ts'

const service = (type: string, url: string): string =>
  `<service><serviceType>${type}</serviceType><serviceId>x</serviceId><controlURL>${url}</controlURL><SCPDURL>/a.xml</SCPDURL></service>`
const ip1 = 'urn:schemas-upnp-org:service:WANIPConnection:1'
const ip2 = 'urn:schemas-upnp-org:service:WANIPConnection:2'
const ppp = 'urn:schemas-upnp-org:service:WANPPPConnection:1'

test('the best service of a description is found, with the place of its control', () => {
  const other = service('urn:schemas-upnp-org:service:Layer3Forwarding:1', '/l3')
  assert.deepEqual(findIgdService(`<root>${other}${service(ppp, '/ppp')}${service(ip1, '/ctl/IPConn')}</root>`), {
    type: ip1,
    controlUrl: '/ctl/IPConn',
  })
  assert.equal(findIgdService(service(ip1, '/1') + service(ip2, '/2'))?.controlUrl, '/2')
  assert.equal(findIgdService(service(ip1, '/a?b=1&amp;c=2'))?.controlUrl, '/a?b=1&c=2')
  assert.equal(findIgdService(other), undefined)
  assert.equal(findIgdService(service(ip1, '')), undefined)
})

test('an action is SOAP, its texts escaped', () => {
  const { headers, body } = encodeIgdAction(ip1, 'AddPortMapping', { NewProtocol: 'UDP', NewPortMappingDescription: '<a&b>' })
  assert.equal(headers.soapaction, `"${ip1}#AddPortMapping"`)
  assert.match(body, /<u:AddPortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1"><NewProtocol>UDP<\/NewProtocol>/)
  assert.ok(body.includes('<NewPortMappingDescription>&lt;a&amp;b&gt;</NewPortMappingDescription>'))
})

test('faults and fields are read with and without prefixes; a stranger’s text is bounded and never throws', () => {
  assert.equal(igdFaultOf('<UPnPError xmlns="x"><errorCode>718</errorCode></UPnPError>'), 718)
  assert.equal(igdFaultOf('<u:errorCode a="1"> 725 </u:errorCode>'), 725)
  assert.equal(igdFaultOf('<errorCode>many</errorCode>'), undefined)
  assert.equal(elementIn('<NewExternalIPAddress>203.0.113.7</NewExternalIPAddress>', 'NewExternalIPAddress'), '203.0.113.7')
  assert.equal(elementIn('<a><b>1</b></a>', 'a'), undefined)
  const piece = fc.constantFrom('<service>', '<serviceType>', ip1, '</serviceType>', '<controlURL>', '<', '>', '&amp;', 'x', '</')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 200 }), (pieces) => {
      const found = findIgdService(pieces.join(''))
      return found === undefined || found.type === ip1
    }),
    { seed: 2 },
  )
  const start = performance.now()
  findIgdService('<service><serviceType '.repeat(100_000))
  elementIn('<a '.repeat(30_000), 'a')
  assert.ok(performance.now() - start < 1_000, 'no text takes long (A-86)')
})
