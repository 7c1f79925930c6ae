// @ts-check
import { Refusal, post } from './request.js'

/**
 * Shows a secret in its place when the button is pressed, and hides it when it is
 * pressed again, or after a minute.
 * @param {HTMLFormElement} form
 */
export function reveal(form) {
  const button = /** @type {HTMLButtonElement | null} */ (form.querySelector('button'))
  const output = form.querySelector('output')
  if (!button || !output) return
  const show = button.textContent
  const label = button.getAttribute('aria-label')
  let timer = 0
  const hide = () => {
    clearTimeout(timer)
    output.textContent = ''
    delete form.dataset.khState
    button.textContent = show
    if (label) button.setAttribute('aria-label', label)
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (output.textContent) return hide()
    try {
      const { text } = await post(form.getAttribute('action') ?? '', {})
      output.textContent = text
      form.dataset.khState = 'shown'
      button.textContent = button.dataset.khHide ?? ''
      button.removeAttribute('aria-label')
      timer = setTimeout(hide, 60_000)
    } catch (refusal) {
      output.textContent = refusal instanceof Refusal ? refusal.message : String(refusal)
    }
  })
}
