// @ts-check
// What went wrong, as the person at the workstation reads it. The server's own sentences are
// for them too; where it says little on purpose, or speaks to programs, words of ours stand here.
import { Refused, Unreachable } from './server.js'

/**
 * What to say and how it goes on. to: 'pin' asks for the PIN again, 'tap' for the card, 'new'
 * for another new PIN; 'over' ends the request with the website's error; 'again' repeats.
 * @typedef {{ text: string, to: 'tap' | 'pin' | 'new' | 'over' | 'again' | 'change' }} Word
 */

/** @type {Record<string, Word>} */
const words = {
  not_allowed_error: { text: 'This badge has no passkey here that you may use. Tap another badge, or register at the website first.', to: 'tap' },
  invalid_state_error: { text: 'You have a passkey at this website already: sign in with it.', to: 'over' },
  security_error: { text: 'The website asked in the name of another one. Keyhold does not answer that.', to: 'over' },
  not_supported_error: { text: 'The website asks for a kind of key that Keyhold does not have.', to: 'over' },
  constraint_error: { text: 'The website asks for something that Keyhold does not do.', to: 'over' },
  type_error: { text: 'The website asked in a way that cannot be read.', to: 'over' },
  syntax_error: { text: 'The website asked in a way that cannot be read.', to: 'over' },
  unknown_error: { text: 'The website asked in a way that cannot be read.', to: 'over' },
  vault_full: { text: 'You have too many accounts in Keyhold. Ask your administrator to remove some.', to: 'over' },
  tap_not_good: { text: 'That took too long. Tap your badge again.', to: 'tap' },
  options_changed: { text: 'That took too long. Tap your badge again.', to: 'tap' },
  uv_token_not_good: { text: 'That took too long. Tap your badge again.', to: 'tap' },
  pin_needed: { text: 'Tap your badge again: it needs its PIN.', to: 'tap' },
  pin_must_change: { text: '', to: 'change' },
  client_pending: { text: 'This workstation waits for approval: an administrator must approve it in Keyhold.', to: 'over' },
  client_revoked: { text: 'This workstation was revoked in Keyhold. An administrator can enrol it again.', to: 'over' },
  client_unknown: { text: 'This workstation is not enrolled in Keyhold any more. An administrator can enrol it again.', to: 'over' },
  unauthenticated: { text: 'The key of this workstation is not good any more. An administrator can give it another one.', to: 'over' },
  wrong_key_type: { text: 'The key of this workstation is not a Clients key. An administrator can give it another one.', to: 'over' },
  invalid_dpop_proof: { text: 'Keyhold did not accept this workstation. Is its clock right?', to: 'again' },
}

/** @param {Date} until */
function clock(until) {
  return until.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' })
}

/**
 * Says what an error means for the person.
 * @param {unknown} error
 * @param {'tap' | 'pin' | 'new'} at the step at which it came
 * @param {'create' | 'get'} kind what the website asked for
 * @returns {Word}
 */
export function explain(error, at, kind) {
  if (error instanceof Unreachable) return { text: 'The Keyhold server gives no answer. Is the network there? Try again, or use another key.', to: 'again' }
  if (!(error instanceof Refused)) return { text: 'Something went wrong in the extension. Try again.', to: 'again' }
  if (error.code === 'pin_invalid' && at !== 'tap') {
    const left = error.triesLeft === null ? '' : error.triesLeft === 1 ? ' One try is left.' : ` ${error.triesLeft} tries are left.`
    const rest = error.pausedUntil ? ` Wait until ${clock(error.pausedUntil)}.` : ''
    return { text: 'This PIN is wrong.' + left + rest, to: 'pin' }
  }
  if (error.code === 'pin_paused') {
    return { text: 'After wrong PINs this key rests' + (error.pausedUntil ? ` until ${clock(error.pausedUntil)}.` : ' for a while.'), to: 'pin' }
  }
  if (error.code === 'pin_locked') return { text: 'This key is locked after too many wrong PINs. Ask your administrator to reset its PIN.', to: 'tap' }
  if (error.code === 'invalid_fields') {
    const field = error.fields[0]
    if (at === 'tap') return { text: 'This is not the number of a card. Tap the badge again; if it happens again, tell your administrator that this reader writes numbers in another form.', to: 'tap' }
    return { text: field?.message ? `The PIN ${field.message}.` : error.message, to: at }
  }
  if (error.code === 'not_allowed_error' && kind === 'create') {
    return { text: 'The website asks for another kind of key, or your organisation does not allow yours here.', to: 'over' }
  }
  if (error.status >= 500) return { text: 'Keyhold has a problem of its own at this moment. Try again.', to: 'again' }
  return words[error.code] ?? { text: error.message, to: at === 'new' ? 'new' : 'tap' }
}
