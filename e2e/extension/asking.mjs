// How a website's page is made to ask, by whoever sits before it, and what it got.

/**
 * What a page got: a credential as JSON, a DOMException, a plain value, or nothing in time.
 * @typedef {{ answer?: any, error?: { name: string, message: string }, value?: any, waiting?: true }} Outcome
 * @typedef {{ call: string, options?: object, mediation?: string, abort?: string }} Wanted
 */

/**
 * Asks in the page or frame as somebody does who presses a button there, and returns what
 * comes of it. press: false asks without the press. A request that is not over after the
 * patience is aborted and is waiting.
 * @param {import('playwright-core').Page | import('playwright-core').Frame} at
 * @param {Wanted} wanted
 * @param {{ press?: boolean, patience?: number }} [how]
 * @returns {Promise<Outcome>}
 */
export async function ask(at, wanted, how = {}) {
  await begin(at, wanted, how)
  return outcome(at, how.patience)
}

/** Begins to ask, and does not wait for what comes of it. */
export async function begin(at, wanted, { press = true } = {}) {
  await at.evaluate(([what, press]) => {
    // @ts-ignore: the website's own
    if (!press) window.ask(what)
    // @ts-ignore: the website's own
    window.wanted = what
  }, /** @type {const} */ ([wanted, press]))
  if (press) await at.locator('#ask').click()
}

/**
 * Waits for what the page gets.
 * @param {import('playwright-core').Page | import('playwright-core').Frame} at
 * @returns {Promise<Outcome>}
 */
export function outcome(at, patience = 20_000) {
  return at.evaluate(async (patience) => {
    const late = new Promise((resolve) => { setTimeout(resolve, patience, { waiting: true }) })
    // @ts-ignore: the website's own
    const got = await Promise.race([window.answered, late])
    // @ts-ignore: the website's own
    if (got.waiting) window.controller.abort()
    return got
  }, patience)
}

/**
 * Asks in a page that nobody has touched: it asks while it loads. Nothing is run in it as
 * if somebody had pressed, which is what Playwright's evaluate does.
 * @param {import('playwright-core').Page} page
 * @param {string} url
 * @param {Wanted} wanted
 */
export async function askUntouched(page, url, wanted) {
  const cdp = await page.context().newCDPSession(page)
  await page.goto(`${url}#${encodeURIComponent(JSON.stringify(wanted))}`)
  /** @returns {Promise<Outcome>} */
  const outcome = async () => {
    const { result } = await cdp.send('Runtime.evaluate', { expression: 'window.answered', awaitPromise: true, returnByValue: true, userGesture: false })
    return result.value
  }
  return { outcome }
}
