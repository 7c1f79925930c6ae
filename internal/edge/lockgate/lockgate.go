// Package lockgate is where the controllers of doors come in: their enrolment on the public
// port, and the link on a port of its own, with a client's certificate. It carries frames and
// decides nothing: package smartlock does.
package lockgate

import (
	_ "github.com/coder/websocket" // the link
)
