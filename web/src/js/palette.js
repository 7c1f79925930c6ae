// @ts-check

/**
 * Opens the dialog with Ctrl+K, ⌘K or whatever names it in data-kh-opens, and lets
 * the arrow keys walk through what was found.
 * @param {HTMLDialogElement} element
 */
export function palette(element) {
  const input = /** @type {HTMLInputElement} */ (element.querySelector('input'))
  const form = /** @type {HTMLFormElement} */ (element.querySelector('form'))
  const open = () => {
    if (element.open) return
    element.showModal()
    input.select()
    form.dispatchEvent(new Event('kh:open'))
  }
  document.addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k') {
      event.preventDefault()
      if (element.open) element.close()
      else open()
    }
  })
  for (const opener of document.querySelectorAll(`[data-kh-opens="${element.id}"]`)) {
    opener.addEventListener('click', (event) => {
      event.preventDefault()
      open()
    })
  }
  element.addEventListener('click', (event) => {
    if (event.target === element) element.close() // the backdrop
  })
  element.addEventListener('keydown', (event) => {
    const links = /** @type {HTMLElement[]} */ ([...element.querySelectorAll('.kh-found a')])
    const at = links.indexOf(/** @type {HTMLElement} */ (document.activeElement))
    if (event.key === 'ArrowDown') (links[at + 1] ?? links[0])?.focus()
    else if (event.key === 'ArrowUp') (at > 0 ? links[at - 1] : input)?.focus()
    else if (event.key === 'Enter' && event.target === input) links[0]?.click()
    else return
    event.preventDefault()
  })
}
