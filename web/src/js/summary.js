// @ts-check

/**
 * Leads to the summary that a form came back with, so that it is read first.
 * @param {HTMLElement} box
 */
export function summary(box) {
  if (!box.hidden) box.focus()
}

/**
 * Shows what is wrong with a form: summed on top and beside each field.
 * @param {HTMLFormElement} form
 * @param {string} title
 * @param {{ field: string, message: string }[]} [fields]
 */
export function showProblems(form, title, fields = []) {
  clearProblems(form)
  const box = form.querySelector('[data-kh="summary"]')
  if (!(box instanceof HTMLElement)) return
  const heading = box.querySelector('p')
  const list = box.querySelector('ul')
  if (heading) heading.textContent = title
  for (const { field, message } of fields) {
    const item = document.createElement('li')
    const input = form.elements.namedItem(field)
    if (input instanceof HTMLInputElement && input.type !== 'hidden') {
      input.setAttribute('aria-invalid', 'true')
      const beside = document.getElementById(`${field}-error`)
      if (beside) beside.textContent = message
      const link = document.createElement('a')
      link.href = `#${field}`
      link.textContent = message
      link.addEventListener('click', (event) => {
        event.preventDefault()
        input.focus()
      })
      item.append(link)
    } else {
      item.textContent = message
    }
    list?.append(item)
  }
  box.hidden = false
  box.focus()
}

/**
 * Takes away what showProblems showed.
 * @param {HTMLFormElement} form
 */
export function clearProblems(form) {
  const box = form.querySelector('[data-kh="summary"]')
  if (box instanceof HTMLElement) {
    box.hidden = true
    box.querySelector('ul')?.replaceChildren()
  }
  for (const input of form.querySelectorAll('[aria-invalid]')) input.removeAttribute('aria-invalid')
  for (const beside of form.querySelectorAll('.kh-error')) beside.textContent = ''
}
