// @ts-check

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

// The server's clock counts, not this machine's.
let started = Date.parse(document.documentElement.dataset.now ?? '') || Date.now()

/** The server's time, in milliseconds. */
export const now = () => started + performance.now()

/**
 * Takes the server's word for what time it is.
 * @param {number} ms
 */
export function setNow(ms) {
  started = ms - performance.now()
}

const zone = document.documentElement.dataset.zone || Intl.DateTimeFormat().resolvedOptions().timeZone

/** @type {Set<HTMLTimeElement>} */
const shown = new Set()
let ticking = 0

/**
 * Keeps a relative time true while the page is open, and tells the exact one in
 * the reader's own zone.
 * @param {HTMLTimeElement} element
 */
export function time(element) {
  const at = new Date(element.dateTime)
  const exact = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZone: zone })
  element.title = `${exact.format(at)} (${zone})`
  shown.add(element)
  ticking ||= setInterval(tick, 30 * second)
}

function tick() {
  for (const element of shown) {
    if (!element.isConnected) shown.delete(element)
    else element.textContent = relative(now(), Date.parse(element.dateTime))
  }
}

/**
 * The same words as the server's (shell.go).
 * @param {number} from
 * @param {number} to
 */
export function relative(from, to) {
  const future = to > from
  const d = Math.abs(from - to)
  const days = Math.round(d / day)
  if (d < 45 * second) return future ? 'in a moment' : 'just now'
  if (d < hour) return away(Math.max(1, Math.floor(d / minute)), 'minute', future)
  if (d < day) return away(Math.floor(d / hour), 'hour', future)
  if (days < 100) return away(days, 'day', future)
  if (days < 730) return away(Math.floor(days / 30), 'month', future)
  return away(Math.floor(days / 365), 'year', future)
}

/**
 * @param {number} n
 * @param {string} unit
 * @param {boolean} future
 */
function away(n, unit, future) {
  const words = `${n} ${unit}${n === 1 ? '' : 's'}`
  return future ? `in ${words}` : `${words} ago`
}
