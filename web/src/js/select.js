// @ts-check

/**
 * Counts the ticked rows of a table and lets all of them be ticked at once.
 * @param {HTMLFormElement} form
 */
export function select(form) {
  const all = /** @type {HTMLInputElement | null} */ (form.querySelector('[data-kh-all]'))
  const said = /** @type {HTMLElement | null} */ (form.querySelector('[data-kh-count]'))
  const boxes = () => /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll('tbody input[type="checkbox"]')])
  const show = () => {
    const ticked = boxes().filter((box) => box.checked).length
    if (said) said.textContent = ticked ? `${ticked} ${said.dataset.khWords}` : ''
    if (!all) return
    all.checked = ticked > 0 && ticked === boxes().length
    all.indeterminate = ticked > 0 && !all.checked
  }
  if (all) {
    all.hidden = false
    all.addEventListener('change', () => {
      for (const box of boxes()) box.checked = all.checked
      show()
    })
  }
  form.addEventListener('change', show)
  addEventListener('pageshow', show)
  show()
}
