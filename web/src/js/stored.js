// @ts-check

/**
 * Opens the way on only once "I stored it" is ticked.
 * @param {HTMLFormElement} form
 */
export function stored(form) {
  const box = form.querySelector('input')
  const button = form.querySelector('button')
  if (!box || !button) return
  const follow = () => { button.disabled = !box.checked }
  box.addEventListener('change', follow)
  follow()
}
