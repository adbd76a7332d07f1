import { readFileSync } from 'node:fs'
import { createServer as createHttp, type RequestListener } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { Socket } from 'node:net'

/** A captive portal: whoever asks is sent to a login page. Says as JSON lines what it was shown in clear. Words: HTTP port, HTTPS port, PEM file. */
const [httpPort = '', httpsPort = '', pem = ''] = process.argv.slice(2)

const say = (event: string, fields: object = {}): void => void process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)

const answer: RequestListener = (request, response) => {
  say('asked', { request: `${request.method} ${request.url}`, headers: request.rawHeaders })
  response
    .writeHead(302, { location: 'http://portal.hotspot.example/login', 'content-type': 'text/html' })
    .end('<html>log in</html>')
}

const http = createHttp(answer)
const key = readFileSync(pem)
const https = createHttps({ key, cert: key }, answer)
for (const server of [http, https]) {
  server.on('upgrade', (request, socket: Socket) => {
    say('asked', { request: `${request.method} ${request.url}`, headers: request.rawHeaders })
    socket.on('data', (bytes: Buffer) => say('more', { hex: bytes.toString('hex') }))
    socket.on('error', () => {})
    socket.end('HTTP/1.1 302 Found\r\nLocation: http://portal.hotspot.example/login\r\nContent-Length: 0\r\n\r\n')
  })
}
http.listen(Number(httpPort), () => https.listen(Number(httpsPort), () => say('ready')))
