// @ts-check

/**
 * Takes toasts away after a while, unless somebody is at them.
 * @param {HTMLElement} region
 */
export function toasts(region) {
  for (const toast of region.querySelectorAll('.kh-toast')) {
    const leave = () => {
      if (toast.matches(':hover, :focus-within')) setTimeout(leave, 2000)
      else toast.remove()
    }
    setTimeout(leave, 7000)
  }
}

/**
 * Lets a press take a toast away.
 * @param {HTMLButtonElement} button
 */
export function dismiss(button) {
  button.addEventListener('click', () => button.closest('.kh-toast')?.remove())
}
