import { type LabelFields, labelKeyPattern, shortFingerprint } from '#shared/enrolment/label-fields.ts'
import { namePattern } from '#shared/enrolment/name.ts'
import { serialPattern } from '#shared/enrolment/unit-serial.ts'

/**
 * The page behind the QR code of a unit's label. It says what the label says and how to go on, and nothing of the registry: whoever has no
 * certificate learns from it neither whether there is such a unit nor what became of it.
 */
export type PairPage =
  /** What the label says is in the fragment, which stays in the phone: the page's own script reads it there. */
  | { readonly kind: 'fragment' }
  /** For a browser without scripts, the same as a query. */
  | { readonly kind: 'label'; readonly label: LabelFields }
  | { readonly kind: 'refused' }

/** The whole document. Of a label nothing but what its patterns let through is in it, and that escaped. */
export const pairPage = (page: PairPage): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>adit: a unit's label</title>
<style>${pairStyle}</style>
<body>
<h1>${page.kind === 'refused' ? 'This is no label of ours' : 'A unit of this fleet, says its label'}</h1>
${page.kind === 'refused' ? refused : told(page)}
<footer>This page shows what stands on the label. It has asked nobody whether that is so: anybody can print a label.
Your browser may have warned you of this address, since the broker's certificate is by the fleet's own authority, which browsers do not
know. So do not take this page's word for anything: the commands below check, and they know the broker.</footer>
${page.kind === 'fragment' ? `<script>${pairScript}</script>\n` : ''}</body>
</html>
`

const told = (page: PairPage): string => {
  const label = page.kind === 'label' ? page.label : undefined
  const name = escapeHtml(label?.name ?? 'NAME')
  return `<p id="word" hidden></p>
${label === undefined ? '<noscript><p>Without scripts this page cannot read the code. The label itself says name, serial number and fingerprint.</p></noscript>\n' : ''}<dl id="label">
<dt>Name<dd id="name">${label ? name : '…'}
<dt>Serial number<dd id="serial">${escapeHtml(label?.serial ?? '…')}
<dt>Fingerprint of its key<dd id="short">${label ? shortFingerprint(label.fingerprint) : '…'}
<dt>The whole of it (SHA-256)<dd id="whole">${label?.fingerprint ?? '…'}
</dl>
<h2>Look for it, reach it</h2>
<p>On a computer where you have logged in to this fleet (<code>adit login</code>):</p>
<pre>adit devices
adit ssh <span class="name">${name}</span>
adit why <span class="name">${name}</span></pre>
<h2>Is it the one of the label?</h2>
<p>Compare the fingerprint with one of these. Who runs the broker sees every key that the unit has had:</p>
<pre>adit-broker device show <span class="name">${name}</span></pre>
<p>Who holds the board sees the key that it has now, which is another one once the fleet has given it fresh keys:</p>
<pre>openssl x509 -in /var/lib/adit-agent/certificate.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum</pre>`
}

const refused = `<p>The address says no name, serial number and key of a unit, or more than that. Scan the code again, with the camera straight above it; a
damaged label is printed anew on the line by <code>adit station label UNIT</code>.</p>`

export const pairStyle = `:root{font:18px/1.5 system-ui,sans-serif;color-scheme:light dark}
body{margin:0 auto;max-width:40rem;padding:1rem}
h1{font-size:1.3rem}
h2{font-size:1.05rem;margin-top:1.5rem}
dt{opacity:.7}
dd{margin:0 0 .5rem;font-weight:600;overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:.5rem;border:1px solid}
footer{margin-top:2rem;opacity:.8}
`

/** Runs in the browser: it takes the fragment apart as `readLabelFields` does, and knows `textContent` and `hidden` alone. */
export const pairScript = `'use strict'
const at = (id) => document.getElementById(id)
const fields = new URLSearchParams(location.hash.slice(1))
const [name, serial, key] = ['n', 's', 'k'].map((field) => fields.getAll(field).length === 1 ? fields.get(field) : '')
if (${namePattern}.test(name) && ${serialPattern}.test(serial) && ${labelKeyPattern}.test(key)) {
  const bytes = atob(key.replaceAll('-', '+').replaceAll('_', '/') + '=')
  const hex = Array.from(bytes, (c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('')
  at('name').textContent = name
  at('serial').textContent = serial
  at('short').textContent = hex.slice(0, 32).match(/.{4}/g).join(' ')
  at('whole').textContent = hex
  for (const place of document.getElementsByClassName('name')) place.textContent = name
} else {
  at('label').hidden = true
  at('word').hidden = false
  at('word').textContent = location.hash === '' ? 'No label was scanned: scan the code on the unit.' : 'This is no label of ours, or a damaged one: scan it again.'
}
`

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
