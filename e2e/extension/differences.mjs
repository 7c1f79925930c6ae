// The differences between Chromium's own virtual authenticator and the extension that are
// accepted, each with the reason. docs/extension-differences.md is rendered from here.

/**
 * what is the member of comparable.mjs; shapes are the requests at which it is seen, or
 * nothing where it is the same at every one.
 * @type {{ what: string, browser: string, ours: string, shapes?: string[], why: string }[]} constant: accepted differences
 */
export const accepted = []
