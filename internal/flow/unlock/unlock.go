// Package unlock is how people open a door from afar: with a digital key in the app, or as
// an administrator. It joins the key's rules and the lock's commands in one transaction. It
// decides nothing at the door: the controller does.
package unlock
