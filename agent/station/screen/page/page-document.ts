/** The page for a tablet at the line. Nothing of a unit is in it: the script puts that into text nodes alone. */
export const pageDocument = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Line</title>
<link rel="stylesheet" href="/line.css">
<script src="/line.js" defer></script>
<body>
<header><h1 id="station">…</h1><p id="quota"></p><button id="sound" type="button">Tap for sound</button></header>
<p id="lost" hidden>No word from the station. Is it running?</p>
<main>
<section id="verdict" class="none" aria-live="assertive"><strong id="verdict-word">Ready</strong><span id="verdict-unit"></span></section>
<section id="numbers"><p id="counts"></p><progress id="bar" max="1" value="0" hidden></progress><p id="rate"></p></section>
<section><h2>In hand</h2><ul id="units"></ul></section>
<section><h2>Last failures</h2><ul id="failures"></ul></section>
</main>
</body>
</html>
`

export const pageStyle = `:root { font: 20px/1.4 system-ui, sans-serif; color-scheme: light dark; }
body { margin: 0; }
header { display: flex; gap: 1rem; align-items: baseline; padding: .5rem 1rem; }
h1 { font-size: 1.2rem; margin: 0; }
h2 { font-size: 1rem; margin: 1rem 0 .25rem; }
header p, #numbers p, ul { margin: 0; padding: 0; }
#sound { margin-left: auto; font: inherit; padding: .4rem 1rem; }
main { padding: 0 1rem 1rem; }
#verdict { text-align: center; padding: 1.5rem .5rem; border-radius: .5rem; margin-bottom: 1rem; }
#verdict strong { display: block; font-size: 5rem; line-height: 1.1; }
#verdict.none { background: #ddd; color: #333; }
#verdict.pass { background: #0a7d28; color: #fff; }
#verdict.fail { background: #b3001b; color: #fff; }
#lost { background: #ffd400; color: #000; margin: 0; padding: .5rem 1rem; }
progress { width: 100%; height: 1.2rem; }
li { list-style: none; overflow-wrap: anywhere; padding: .2rem 0; }
`

/** Runs in the browser. It knows `textContent` and `value`, and nothing that reads markup. */
export const pageScript = `'use strict'
const at = (id) => document.getElementById(id)
const say = (id, text) => { if (at(id).textContent !== text) at(id).textContent = text }
const span = (s) => s < 120 ? Math.round(s) + ' s' : s < 7200 ? Math.floor(s / 60) + ' min' : Math.floor(s / 3600) + ' h'
const list = (id, lines) => at(id).replaceChildren(...lines.map((text) => {
  const item = document.createElement('li')
  item.textContent = text
  return item
}))
let audio, last
at('sound').addEventListener('click', () => {
  audio ??= new AudioContext()
  void audio.resume()
  say('sound', 'Sound is on')
  play(true)
})
function play(pass) {
  if (!audio) return
  const notes = pass ? [[880, 0, .12], [1320, .13, .18]] : [[220, 0, .35], [165, .4, .5]]
  for (const [frequency, from, length] of notes) {
    const tone = audio.createOscillator(), volume = audio.createGain()
    tone.type = pass ? 'sine' : 'square'
    tone.frequency.value = frequency
    volume.gain.value = .2
    tone.connect(volume)
    volume.connect(audio.destination)
    tone.start(audio.currentTime + from)
    tone.stop(audio.currentTime + from + length)
  }
}
function show(view) {
  say('station', view.station)
  say('quota', 'quota left ' + view.quotaLeft + ', until ' + view.until.slice(0, 10) + (view.unsynced ? ', ' + view.unsynced + ' to sync' : ''))
  say('counts', view.delivered + (view.planned === null ? '' : ' of ' + view.planned) + ' delivered, ' + view.failed + ' failed, ' + view.scrapped + ' scrapped')
  say('rate', (view.perHour === null ? 'no rate yet' : view.perHour + ' units an hour')
    + (view.secondsToFinish === null ? '' : view.secondsToFinish === 0 ? ', batch done' : ', done in ' + span(view.secondsToFinish)))
  at('bar').hidden = !view.planned
  if (view.planned) at('bar').value = Math.min(1, view.delivered / view.planned)
  list('units', view.inHand.map((u) => u.serial + '  ' + u.name + '  ' + u.step + (u.progress === null ? '' : ' ' + Math.round(u.progress * 100) + ' %') + '  ' + span(u.seconds)))
  list('failures', view.failures.map((f) => f.serial + '  ' + f.name + ': ' + f.detail + ' ' + f.mend + ' (' + f.code + '), ' + span(f.secondsAgo) + ' ago'))
  const verdict = view.verdict
  at('verdict').className = verdict === null ? 'none' : verdict.pass ? 'pass' : 'fail'
  say('verdict-word', verdict === null ? 'Ready' : verdict.pass ? 'PASS' : 'FAIL')
  say('verdict-unit', verdict === null ? '' : verdict.serial + '  ' + verdict.name)
  if (verdict !== null && last !== undefined && verdict.number !== last) play(verdict.pass)
  last = verdict === null ? 0 : verdict.number
}
const stream = new EventSource('/events')
stream.addEventListener('view', (event) => { at('lost').hidden = true; show(JSON.parse(event.data)) })
stream.addEventListener('error', () => { at('lost').hidden = false })
`
