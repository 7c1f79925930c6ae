// @ts-check

/**
 * Lets the arrow keys walk through a popover menu; the platform does the rest.
 * @param {HTMLElement} element
 */
export function menu(element) {
  const items = () => /** @type {HTMLElement[]} */ ([...element.querySelectorAll('button, a[href]')])
  element.addEventListener('toggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== 'open') return
    if (element.classList.contains('is-row')) place(element)
    items()[0]?.focus()
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

/**
 * Puts a row's menu at its button, on the side where there is room.
 * @param {HTMLElement} element
 */
function place(element) {
  const button = document.querySelector(`[popovertarget="${CSS.escape(element.id)}"]`)?.getBoundingClientRect()
  if (!button) return
  element.classList.add('is-placed')
  const { width, height } = element.getBoundingClientRect()
  const below = button.bottom + height + 8 < innerHeight
  element.style.top = `${below ? button.bottom + 4 : Math.max(8, button.top - height - 4)}px`
  element.style.left = `${Math.max(8, Math.min(button.right - width, innerWidth - width - 8))}px`
  addEventListener('scroll', () => element.hidePopover(), { once: true, passive: true })
}
