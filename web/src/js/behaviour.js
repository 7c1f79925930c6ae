// @ts-check

/** @typedef {(element: any) => void} Behaviour enhances one element, once. */

/**
 * Runs the behaviours over the page, and over whatever htmx puts into it later.
 * @param {Record<string, Behaviour>} behaviours
 */
export function start(behaviours) {
  const done = new WeakSet()
  /** @param {ParentNode} root */
  const enhance = (root) => {
    for (const element of root.querySelectorAll('[data-kh]')) {
      if (done.has(element)) continue
      done.add(element)
      behaviours[element.getAttribute('data-kh') ?? '']?.(element)
    }
  }
  enhance(document)
  document.addEventListener('htmx:after:swap', () => enhance(document))
}
