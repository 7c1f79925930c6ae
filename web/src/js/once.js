// @ts-check

/**
 * Keeps a form from being sent twice by a second press.
 * @param {HTMLFormElement} form
 */
export function once(form) {
  let sent = false
  form.addEventListener('submit', (event) => {
    if (sent) event.preventDefault()
    sent = true
    form.setAttribute('aria-busy', 'true')
  })
  addEventListener('pageshow', () => {
    sent = false
    form.removeAttribute('aria-busy')
  })
}
