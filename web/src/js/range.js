// @ts-check

/**
 * Fills in the two times of a preset at a press; without this script the press sends the
 * form, and it comes back filled in.
 * @param {HTMLElement} root
 */
export function range(root) {
  root.addEventListener('click', (event) => {
    const button = event.target instanceof Element ? event.target.closest('button[data-kh-starts]') : null
    const starts = root.querySelector('[name="starts_at"]')
    const ends = root.querySelector('[name="expires_at"]')
    if (!(button instanceof HTMLButtonElement) || !(starts instanceof HTMLInputElement) || !(ends instanceof HTMLInputElement)) return
    event.preventDefault()
    starts.value = button.dataset.khStarts ?? ''
    ends.value = button.dataset.khEnds ?? ''
    for (const other of root.querySelectorAll('button[data-kh-starts]')) other.setAttribute('aria-pressed', String(other === button))
    ends.dispatchEvent(new Event('change', { bubbles: true }))
  })
}
