// @ts-check

/**
 * Lets the arrow keys walk through a popover menu; the platform does the rest.
 * @param {HTMLElement} element
 */
export function menu(element) {
  const items = () => /** @type {HTMLElement[]} */ ([...element.querySelectorAll('button, a[href]')])
  element.addEventListener('toggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === 'open') items()[0]?.focus()
  })
  element.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key]
    if (!step) return
    event.preventDefault()
    const all = items()
    const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement))
    all[(at + step + all.length) % all.length]?.focus()
  })
}
