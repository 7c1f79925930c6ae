package mail

import (
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/ledger/outbox"
)

func lockPayloads() map[string]outbox.Payload {
	const lock = "lock_01jt0000000000000000000000"
	at := noon().UnixMilli()
	return map[string]outbox.Payload{
		"lock_alarm_keypad": outbox.LockAlarm{
			To: ada(), Workspace: "Example & Sons", Lock: lock, LockName: "Pier 4 <north>", What: outbox.AlarmKeypadPaused, At: at, Count: 5,
		},
		"lock_alarm_cancelled": outbox.LockAlarm{
			To: ada(), Workspace: "Example & Sons", Lock: lock, LockName: "Pier 4 <north>", What: outbox.AlarmOpenedAfterCancel, At: at, Count: 1,
			DigitalKey: "dk_01jt0000000000000000000000", User: "Grace Hopper",
		},
		"lock_alarm_record": outbox.LockAlarm{
			To: ada(), Workspace: "Example & Sons", Lock: lock, LockName: "Pier 4 <north>", What: outbox.AlarmRecordLost, At: at, Count: 1,
		},
		"lock_lease_twelve": outbox.LockLease{To: ada(), Workspace: "Example & Sons", Lock: lock, LockName: "Pier 4 <north>", Hours: 12, EndsAt: at},
		"lock_lease_one":    outbox.LockLease{To: ada(), Workspace: "Example & Sons", Lock: lock, LockName: "Pier 4 <north>", Hours: 1, EndsAt: at},
	}
}

func TestCompose_lockGolden(t *testing.T) {
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	for name, p := range lockPayloads() {
		raw, e := composed(t, s, p)
		golden(t, name+".eml", string(raw))
		golden(t, name+".txt", e.Text)
		golden(t, name+".html", e.HTML)
	}
}

func TestCompose_lockNamesCannotInject(t *testing.T) {
	const evil = "Eve\r\nBcc: victim@example.com\r\n\r\nbody\u202etxt.exe\x00"
	s := newMailer(t, "smtp://localhost?from=keyhold@example.com")
	to := outbox.Recipient{Email: "ada@example.com", Name: evil, Timezone: evil, Language: evil}
	for _, p := range []outbox.Payload{
		outbox.LockAlarm{To: to, Workspace: evil, Lock: evil, LockName: evil, What: evil, DigitalKey: evil, User: evil},
		outbox.LockLease{To: to, Workspace: evil, Lock: evil, LockName: evil},
	} {
		_, e := composed(t, s, p)
		if got := e.GetHeader("Bcc"); got != "" || strings.ContainsAny(e.Text+e.HTML+e.GetHeader("Subject"), "\x00\u202e") {
			t.Errorf("%T: a name gets into the headers or brings controls", p)
		}
	}
}
