// Stands for the extension of a remote desktop: it attaches first, and keeps what it has.
chrome.webAuthenticationProxy.attach()
chrome.runtime.onStartup.addListener(() => chrome.webAuthenticationProxy.attach())
