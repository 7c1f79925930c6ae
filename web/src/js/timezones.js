// @ts-check

/**
 * Fills a datalist with the time zones that the browser knows.
 * @param {HTMLDataListElement} list
 */
export function timezones(list) {
  for (const name of ['UTC', ...Intl.supportedValuesOf('timeZone')]) {
    const option = document.createElement('option')
    option.value = name
    list.append(option)
  }
}
