// @ts-check

/**
 * Puts the cursor where a reader is to type as soon as a choice asks for a card's
 * number.
 * @param {HTMLElement} box
 */
export function reader(box) {
  const number = /** @type {HTMLInputElement | null} */ (box.querySelector('.kh-reader input'))
  if (!number) return
  const follow = () => { if (number.checkVisibility()) number.focus() }
  box.addEventListener('change', (event) => {
    if (event.target instanceof HTMLInputElement && event.target.name === 'activation' && event.target.value === 'now') follow()
  })
  if (!document.querySelector('.kh-summary:not([hidden])')) follow()
}
