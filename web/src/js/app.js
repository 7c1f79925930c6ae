// @ts-check
// The panel's script: each behaviour enhances the elements that name it in
// data-kh. Pages read and plain forms work without it.
import 'htmx.org'
import { start } from './behaviour.js'
import { copy } from './copy.js'
import { countdown } from './countdown.js'
import { dialog } from './dialog.js'
import { live } from './live.js'
import { menu } from './menu.js'
import { once } from './once.js'
import { palette } from './palette.js'
import { passkey } from './passkey.js'
import { preset } from './preset.js'
import { range } from './range.js'
import { reader } from './reader.js'
import { reveal } from './reveal.js'
import { select } from './select.js'
import { stored } from './stored.js'
import { summary } from './summary.js'
import { theme } from './theme.js'
import { time } from './time.js'
import { timezones } from './timezones.js'
import { dismiss, toasts } from './toast.js'
import { unlock } from './unlock.js'

start({ copy, countdown, dialog, dismiss, live, menu, once, palette, passkey, preset, range, reader, reveal, select, stored, summary, theme, time, timezones, toasts, unlock })

// The app may be installed: its service worker keeps the files that pages are made of.
if (document.querySelector('link[rel="manifest"]') && 'serviceWorker' in navigator) {
  navigator.serviceWorker.register('/app/worker.js', { scope: '/app' }).catch(() => {}) // without it the app works as a page
}
