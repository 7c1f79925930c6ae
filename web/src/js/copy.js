// @ts-check

/**
 * Copies the text of [data-kh-source] when [data-kh-button] is pressed, and says
 * so on the button.
 * @param {HTMLElement} box
 */
export function copy(box) {
  const source = /** @type {HTMLElement | null} */ (box.querySelector('[data-kh-source]'))
  const button = /** @type {HTMLElement | null} */ (box.querySelector('[data-kh-button]'))
  const label = button?.querySelector('span')
  const said = box.querySelector('[data-kh-said]')
  if (!source || !button || !label) return
  const before = label.textContent
  let timer = 0
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(source.textContent ?? '')
    } catch {
      // No permission: leave it selected, so that the keyboard can copy it.
      getSelection()?.selectAllChildren(source)
      return
    }
    label.textContent = button.dataset.khDone ?? ''
    if (said) said.textContent = label.textContent
    clearTimeout(timer)
    timer = setTimeout(() => {
      label.textContent = before
      if (said) said.textContent = ''
    }, 3000)
  })
}
