// @ts-check

/**
 * Keeps presets and permissions in step: a preset ticks what it grants, and a
 * permission that is ticked by hand chooses no preset.
 * @param {HTMLElement} root
 */
export function preset(root) {
  const boxes = () => /** @type {NodeListOf<HTMLInputElement>} */ (root.querySelectorAll('input[name="permissions"]'))
  root.addEventListener('change', (event) => {
    const input = event.target
    if (!(input instanceof HTMLInputElement)) return
    if (input.name === 'preset' && input.value !== 'custom') {
      const ticks = (input.dataset.khTicks ?? '').split(' ')
      for (const box of boxes()) box.checked = ticks.includes(box.value)
    }
    if (input.name === 'permissions') {
      const custom = root.querySelector('input[name="preset"][value="custom"]')
      if (custom instanceof HTMLInputElement) custom.checked = true
    }
  })
}
