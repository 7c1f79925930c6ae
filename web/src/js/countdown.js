// @ts-check
import { now } from './time.js'

/** @type {Set<HTMLElement>} */
const shown = new Set()
let ticking = 0

/**
 * Counts down to data-kh-to by the server's clock.
 * @param {HTMLElement} element
 */
export function countdown(element) {
  shown.add(element)
  write(element)
  ticking ||= setInterval(() => shown.forEach(write), 1000)
}

/** @param {HTMLElement} element */
function write(element) {
  if (!element.isConnected) {
    shown.delete(element)
    return
  }
  element.textContent = left(Date.parse(element.dataset.khTo ?? '') - now())
}

/** @param {number} ms */
export function left(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const days = Math.floor(seconds / 86400)
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0')
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return days > 0 ? `${days} day${days === 1 ? '' : 's'}, ${clock}` : clock
}
