/**
 * Imported before tests, and by the worker threads that they start, where nothing reads TypeScript: what fails must say so at once. Node 20
 * looks for the text of an `assert.ok` without a message in the source file, by the place in what tsx made of it, and can search for minutes
 * with every byte of a core; the stack names the line as well.
 */
import assert from 'node:assert/strict'

const { ok } = assert

assert.ok = function prompt(value, message = 'what must hold does not') {
  ok(value, message)
}
