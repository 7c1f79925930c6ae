// @ts-check

/**
 * Changes the theme at once and keeps the choice where the server reads it.
 * @param {HTMLFormElement} form
 */
export function theme(form) {
  form.addEventListener('submit', (event) => {
    const chosen = /** @type {HTMLButtonElement | null} */ (event.submitter)
    if (!chosen) return
    event.preventDefault()
    const root = document.documentElement
    const secure = location.protocol === 'https:' ? '; Secure' : ''
    if (chosen.value === 'auto') {
      delete root.dataset.bsTheme
      document.cookie = `keyhold_theme=; Path=/; Max-Age=0; SameSite=Lax${secure}`
    } else {
      root.dataset.bsTheme = chosen.value
      document.cookie = `keyhold_theme=${chosen.value}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`
    }
    for (const button of form.querySelectorAll('button')) button.setAttribute('aria-pressed', String(button === chosen))
  })
}
