// @ts-check

/** A refused request, in sentences for people. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {{ field: string, message: string }[]} [fields]
   */
  constructor(message, fields = []) {
    super(message)
    this.fields = fields
  }
}

/**
 * Posts JSON to our own server: the one place that knows credentials, errors and
 * being offline.
 * @param {string} path
 * @param {unknown} body
 * @returns {Promise<any>} the answer's JSON
 * @throws {Refusal}
 */
export async function post(path, body) {
  /** @type {Response} */
  let response
  try {
    response = await fetch(path, {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify(body),
    })
  } catch {
    throw new Refusal(navigator.onLine ? 'The server does not answer. Try again in a moment.' : 'You are offline. Try again once you are connected.')
  }
  const answer = await response.json().catch(() => null)
  if (response.ok && answer !== null) return answer
  throw new Refusal(answer?.detail ?? 'Something went wrong on our side. Try again.', answer?.errors ?? [])
}
