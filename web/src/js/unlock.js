// @ts-check
import { Refusal, post } from './request.js'

/**
 * Opens a door with one press, and says at the button what the door said. It never says
 * "opened" on its own.
 * @param {HTMLFormElement} form
 */
export function unlock(form) {
  const button = /** @type {HTMLButtonElement | null} */ (form.querySelector('button'))
  const label = button?.querySelector('span')
  const said = /** @type {HTMLElement | null} */ (form.querySelector('[role=status]'))
  if (!button || !label || !said) return
  const name = label.textContent
  let timer = 0
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (form.dataset.khState === 'working') return
    clearTimeout(timer)
    form.dataset.khState = 'working'
    button.setAttribute('aria-disabled', 'true')
    label.textContent = button.dataset.khWorking ?? ''
    said.textContent = ''
    try {
      const { opened, text } = await post(form.getAttribute('action') ?? '', {})
      form.dataset.khState = opened ? 'opened' : 'refused'
      said.textContent = text
    } catch (refusal) {
      form.dataset.khState = 'refused'
      said.textContent = refusal instanceof Refusal ? refusal.message : String(refusal)
    }
    button.removeAttribute('aria-disabled')
    label.textContent = name
    timer = setTimeout(() => {
      delete form.dataset.khState
      said.textContent = ''
    }, 8000)
  })
}
