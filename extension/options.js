// @ts-check
// The options page: what this workstation is at Keyhold, and how it becomes one.
import { enrolment, policy } from './lib/store.js'
import { ask, enrol, madeUpName, state, stepBack, titles } from './lib/state.js'
import { Refused, serverAddress, Unreachable } from './lib/server.js'

/** @template {HTMLElement} T @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id))
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (part(id))

/** Somebody wants to enrol anew though the browser is enrolled. */
let anew = false

async function show() {
  const [e, p, now] = await Promise.all([enrolment(), policy(), state()])
  document.body.dataset.state = now
  part('state').textContent = titles[now]
  part('facts').hidden = !e?.client
  part('at').textContent = e?.server ?? ''
  part('called').textContent = e?.client?.name ?? ''
  part('client').textContent = e?.client?.id ?? ''
  const enrols = !e?.client || now === 'revoked' || anew
  part('form').hidden = !enrols
  part('acts').hidden = enrols
  part('back').hidden = now !== 'aside'
  part('managed').hidden = p.server === ''
  for (const [id, value] of Object.entries({ server: p.server, token: p.token, code: p.code, name: p.name })) {
    input(id).readOnly = value !== ''
    if (value !== '') input(id).value = value
  }
}

/** @param {string} text @param {string} [at] the input that is wrong */
function say(text, at) {
  const message = part('message')
  message.textContent = text
  message.hidden = text === ''
  for (const id of ['server', 'token', 'code', 'name']) input(id).toggleAttribute('aria-invalid', id === at)
  if (at) input(at).focus()
}

/** What the server calls a field, and the input here. */
const fields = /** @type {Record<string, string>} */ ({ name: 'name', enrolment_code: 'code' })

part('form').addEventListener('submit', async (event) => {
  event.preventDefault()
  const token = input('token').value.trim()
  const code = input('code').value.trim()
  let server
  try {
    server = serverAddress(input('server').value.trim())
  } catch (error) {
    return say(error instanceof Error ? error.message : String(error), 'server')
  }
  if (token === '' && code === '') return say('Give a Clients key or an enrolment code.', 'token')
  if (token !== '' && !token.startsWith('kh_client_')) return say('This is not a Clients key: it begins with kh_client_.', 'token')
  const button = /** @type {HTMLButtonElement} */ (part('enrol'))
  button.disabled = true
  say('')
  try {
    await enrol({ server, token, code, name: input('name').value.trim() || madeUpName() })
    anew = false
    input('token').value = input('code').value = ''
  } catch (error) {
    if (error instanceof Unreachable) say('Nothing at this address answers as Keyhold does. Is it right, and is the network there?', 'server')
    else if (error instanceof Refused && error.status === 401) say('Keyhold does not know this Clients key, or it is not good any more.', 'token')
    else if (error instanceof Refused && error.code === 'wrong_key_type') say('This is a key of another type: a Clients key is needed.', 'token')
    else if (error instanceof Refused && error.fields.length > 0) say(`${error.message} ${error.fields[0].message ?? ''}`.trim(), fields[error.fields[0].name])
    else say(error instanceof Error ? error.message : String(error))
  } finally {
    button.disabled = false
    await show()
  }
})

part('check').addEventListener('click', async () => {
  await ask()
  await show()
})
part('back').addEventListener('click', () => stepBack())
part('leave').addEventListener('click', async () => {
  anew = true
  await show()
  input('server').value ||= (await enrolment())?.server ?? ''
  input('server').focus()
})

chrome.storage.onChanged.addListener(() => show())
await show()
