// @ts-check
import { now, setNow } from './time.js'
import { toast } from './toast.js'

/**
 * Keeps a page up to date from its event stream (data-kh-stream): what names a kind
 * that changed in data-kh-live is loaded anew, what others did is told, and when the
 * session ends the page is left for data-kh-out at once. While the page is hidden
 * there is no stream; shown again, or with the server again, all of it is loaded anew. What changes by itself at
 * the moment of its data-kh-turn is loaded anew at that very moment.
 * @param {HTMLElement} body
 */
export function live(body) {
  /** @type {EventSource | null} */
  let source = null
  let missed = false
  let again = 0
  const open = () => {
    if (source || document.hidden) return
    clearTimeout(again)
    source = new EventSource(body.dataset.khStream ?? '')
    source.addEventListener('open', () => {
      if (missed) refresh(['*'])
      missed = false
    })
    source.addEventListener('error', () => {
      missed = true
      if (source?.readyState !== EventSource.CLOSED) return // it tries again by itself
      close() // refused: by a proxy whose server is away, or since too many pages are open
      again = setTimeout(open, 5000)
    })
    source.addEventListener('changed', (event) => {
      const { kinds, toast: text } = JSON.parse(event.data)
      refresh(kinds)
      if (text) toast(text)
    })
    source.addEventListener('clock', (event) => {
      setNow(JSON.parse(event.data))
      turn()
    })
    source.addEventListener('ended', () => {
      close()
      const to = new URL(body.dataset.khOut ?? '/', location.href)
      to.searchParams.set('next', location.pathname + location.search)
      location.replace(to)
    })
  }
  const close = () => {
    clearTimeout(again)
    source?.close()
    source = null
    missed = true
  }
  document.addEventListener('visibilitychange', () => (document.hidden ? close() : open()))
  addEventListener('pagehide', close)
  document.addEventListener('htmx:after:swap', turn)
  turn()
  open()
}

/** At most so long a timer runs without looking again. */
const longest = 60 * 60 * 1000

let turning = 0

/** Waits for the next moment at which something on the page changes by itself. */
function turn() {
  clearTimeout(turning)
  const moments = [...document.querySelectorAll('[data-kh-turn]')].map((e) => Date.parse(e.getAttribute('data-kh-turn') ?? '')).filter((at) => at > now() - 5000)
  if (moments.length === 0) return
  const wait = Math.min(...moments) - now()
  turning = setTimeout(
    () => {
      if (wait <= longest) refresh(['turn'])
      turn()
    },
    Math.min(Math.max(wait + 20, 500), longest)
  )
}

/**
 * Loads anew what shows one of the kinds, unless somebody is working in it.
 * @param {string[]} kinds
 */
function refresh(kinds) {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-kh-live][id]'))) {
    const words = (element.dataset.khLive ?? '').split(' ')
    const turns = kinds.includes('turn') && element.querySelector('[data-kh-turn]') !== null
    if (!turns && !kinds.includes('*') && !words.includes('*') && !words.some((word) => kinds.includes(word))) continue
    if (element.querySelector('[data-kh-state]')) {
      setTimeout(() => refresh(kinds), 2000) // what a press brought stays to be read
      continue
    }
    if (isBusy(element)) continue
    const where = `#${element.id}`
    // @ts-ignore htmx is a global of its own script
    void globalThis.htmx?.ajax('GET', location.href, { target: where, select: where, swap: 'outerHTML' })
  }
}

/**
 * Whether somebody typed, ticked or opened something in the element.
 * @param {HTMLElement} element
 */
function isBusy(element) {
  if (element.querySelector('input:checked:not([data-kh-kept]), dialog[open], :popover-open')) return true
  const active = document.activeElement
  return active instanceof HTMLElement && element.contains(active) && active.matches('input, textarea, select')
}
