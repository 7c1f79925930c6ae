// @ts-check

/**
 * Makes a dialog that the page came with modal: focus stays in it and comes back.
 * @param {HTMLDialogElement} element
 */
export function dialog(element) {
  element.close()
  element.showModal()
}
