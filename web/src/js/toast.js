// @ts-check

/**
 * Takes toasts away after a while, unless somebody is at them.
 * @param {HTMLElement} region
 */
export function toasts(region) {
  for (const one of region.querySelectorAll('.kh-toast')) fade(one)
}

/** @param {Element} one */
function fade(one) {
  const leave = () => {
    if (one.matches(':hover, :focus-within')) setTimeout(leave, 2000)
    else one.remove()
  }
  setTimeout(leave, 7000)
}

/**
 * Shows a short message.
 * @param {string} text
 */
export function toast(text) {
  const region = document.querySelector('.kh-toasts')
  if (!region) return
  const one = document.createElement('div')
  one.className = 'kh-toast'
  const words = document.createElement('p')
  words.textContent = text
  one.append(words)
  region.append(one)
  fade(one)
}

/**
 * Lets a press take a toast away.
 * @param {HTMLButtonElement} button
 */
export function dismiss(button) {
  button.addEventListener('click', () => button.closest('.kh-toast')?.remove())
}
