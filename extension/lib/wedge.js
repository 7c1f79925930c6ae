// @ts-check
// Readers that are a keyboard to the computer ("keyboard wedge") type a card's number and
// Enter, faster than anybody types.

/** A character within this time after the one before was not typed by hand, in milliseconds. */
const fast = 40

/**
 * Watches how an input is filled.
 * @param {HTMLInputElement} input
 * @returns {{ source: () => 'reader' | 'typed' }}
 */
export function watchWedge(input) {
  let last = 0
  let quick = 0
  let slow = 0
  input.addEventListener('input', (event) => {
    if (input.value.length <= 1) quick = slow = 0
    else if (event.timeStamp - last <= fast) quick++
    else slow++
    last = event.timeStamp
  })
  return { source: () => quick >= 4 && slow <= quick / 8 ? 'reader' : 'typed' }
}
