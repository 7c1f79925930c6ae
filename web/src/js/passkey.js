// @ts-check
import { post, Refusal } from './request.js'
import { clearProblems, showProblems } from './summary.js'

/**
 * Lets a form be answered with a passkey: begins at data-kh-begin with the form's
 * values, asks the authenticator (data-kh-kind: "create" or "get") and ends at
 * data-kh-finish. Then it sends the form of the id in data-kh-then again, or goes
 * where the server says.
 * @param {HTMLFormElement} form
 */
export function passkey(form) {
  const button = /** @type {HTMLButtonElement | null} */ (form.querySelector('.kh-passkey'))
  let busy = false
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (busy) return
    busy = true
    clearProblems(form)
    button?.setAttribute('aria-busy', 'true')
    try {
      await run(form)
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(explain(error, form))
      showProblems(form, refusal.message, refusal.fields)
    } finally {
      busy = false
      button?.removeAttribute('aria-busy')
    }
  })
}

/** @param {HTMLFormElement} form */
async function run(form) {
  if (!supported()) {
    throw new Refusal('This browser cannot use passkeys here. Use a current version of Chrome, Edge, Firefox or Safari, at the address that your administrator gave you.')
  }
  const values = Object.fromEntries(new FormData(form))
  const { ceremony, options } = await post(form.dataset.khBegin ?? '', values)
  const credential = await unlessAside(() => form.dataset.khKind === 'create'
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) }))
  if (!(credential instanceof PublicKeyCredential)) throw new Refusal('No passkey was chosen. Try again.')
  const { location: to } = await post(form.dataset.khFinish ?? '', { ...values, ceremony, response: credential.toJSON() })
  const then = form.dataset.khThen && document.getElementById(form.dataset.khThen)
  if (then instanceof HTMLFormElement) then.requestSubmit()
  else location.assign(to)
}

/**
 * Asks the authenticator; once more if it was Keyhold's browser extension that heard it: it
 * steps aside then, which ends the request, and the passkeys of Keyhold itself are in the browser
 * or on a key that is plugged in. Nothing else aborts here.
 * @param {() => Promise<Credential | null>} ask
 */
async function unlessAside(ask) {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== 'AbortError') throw error
    return await ask()
  }
}

function supported() {
  return typeof PublicKeyCredential === 'function' && typeof PublicKeyCredential.parseCreationOptionsFromJSON === 'function' && !!navigator.credentials
}

/**
 * Says in a sentence why the authenticator gave no answer.
 * @param {unknown} error
 * @param {HTMLFormElement} form its data-kh-held says that the device is known already
 */
function explain(error, form) {
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
      return 'The passkey dialog was closed, or it took too long. Try again.'
    case 'InvalidStateError':
      if (form.dataset.khHeld) return form.dataset.khHeld
      return form.dataset.khKind === 'create' ? 'This device holds a passkey of yours for Keyhold already. Use another device, or sign in with it.' : 'This passkey cannot be used here.'
    case 'SecurityError':
      return 'Passkeys do not work at this address. Open Keyhold at its own address over https.'
    case 'NotSupportedError':
      return 'This device has no way to keep such a passkey. Try another device or a security key.'
  }
  return 'The passkey could not be used. Try again.'
}
