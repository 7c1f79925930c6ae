package client_test

import (
	"context"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/dpop"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/client"
	"github.com/keyhold/keyhold/internal/store"
	"github.com/keyhold/keyhold/internal/store/storetest"
)

// applied is an applicant whose code was found good, with that code.
func applied(t *testing.T, o *office) (client.Applicant, client.Code) {
	t.Helper()
	code, text, err := o.IssueCode(t.Context(), o.by, client.NewEnrolmentCode{})
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	sh := p.showsToken(t, o, "{}", "")
	a, err := o.Apply(t.Context(), nobody(), sh, client.Enrolment{Name: "Front desk", Kind: client.Agent, JWK: dpop.JWK(&p.key.PublicKey), Code: text.ExposeString()})
	if err != nil {
		t.Fatal(err)
	}
	err = store.For[client.Tx](o.Store).Read(t.Context(), func(ctx context.Context, tx client.Tx) error {
		w, err := a.FindWorkspace(ctx, tx, o.clock.Now())
		if w != o.w {
			t.Errorf("FindWorkspace() = %q, want %q", w, o.w)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, code
}

func nobody() auth.Caller { return auth.Nobody("192.0.2.7", "agent/1", "req_1") }

// enrolled is what becomes of the applicant. issued says whether a key was made.
func enrolled(t *testing.T, o *office, a client.Applicant) (issued bool, err error) {
	t.Helper()
	err = store.For[client.Tx](o.Store).Write(t.Context(), func(ctx context.Context, tx client.Tx) (*fault.Error, error) {
		_, f, err := a.Enrol(ctx, tx, nobody(), o.w, o.clock.Now(), func(context.Context, auth.Caller) (id.APIKey, error) {
			issued = true
			return o.key.APIKey, nil
		})
		return f, err
	})
	return issued, err
}

// What was good when the code was found is asked again where it is spent.
func TestApplicant_isRefusedForWhatHappenedMeanwhile(t *testing.T) {
	for name, happens := range map[string]func(t *testing.T, o *office, c client.Code){
		"suspended": func(t *testing.T, o *office, _ client.Code) {
			t.Helper()
			storetest.Exec(t, o.Database, `UPDATE workspace SET suspended_at = 1 WHERE id = $1`, string(o.w))
		},
		"withdrawn": func(t *testing.T, o *office, c client.Code) {
			t.Helper()
			if err := o.WithdrawCode(t.Context(), o.by, c.ID); err != nil {
				t.Fatal(err)
			}
		},
		"over": func(_ *testing.T, o *office, _ client.Code) { o.clock.Advance(client.DefaultCodeLife) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			a, code := applied(t, o)
			happens(t, o, code)
			issued, err := enrolled(t, o, a)
			storetest.Refused(t, err, "enrolment_code_invalid")
			if n := storetest.Count(t, o.Database, `SELECT COUNT(*) FROM client`); n != 0 || issued {
				t.Errorf("there are %d clients, a key %v", n, issued)
			}
		})
	}
	o := newOffice(t)
	a, _ := applied(t, o)
	if issued, err := enrolled(t, o, a); err != nil || !issued {
		t.Errorf("nothing happened meanwhile: %v, %v", issued, err)
	}
}
