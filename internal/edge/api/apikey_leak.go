package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/edge/kit"
)

const (
	// reportTime is when a report of a leaked token is answered, counted from its
	// arrival: by then it mostly has been worked on, and the answer says nothing of it.
	reportTime = 250 * time.Millisecond
	// reportLimit bounds the work on a report: longer than servers wait for each other.
	reportLimit = 10 * time.Second
	// reportsAtOnce bounds how many are worked on at the same time.
	reportsAtOnce = 32
)

type reportLeakedInput struct {
	Body struct {
		Token string `json:"token" doc:"What was found."`
	}
}

type reportLeakedOutput struct {
	Body struct {
		Status string `json:"status" enum:"received"`
	}
}

func (a *restAPI) registerReport() {
	op := operation("report-leaked-api-key", http.MethodPost, "/api-keys/report-leaked", "Report a leaked token",
		"For whoever found a token where it should not be: no authentication, and what the request carries of it is ignored. "+
			"An Admin key is disabled at once; a Clients or Shared Mobile key enrols nothing more, and what is enrolled goes on until an administrator decides. "+
			"The answer is the same, and takes the same time, whatever was sent: it does not say whether that was a token. A network may send ten reports a minute.",
		http.StatusServiceUnavailable)
	op.DefaultStatus = http.StatusAccepted
	op.Security = []map[string][]string{} // none
	op.Errors = []int{http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable}
	register(a, op, a.reportLeaked)
}

// reportLeaked answers at a fixed moment. The report is worked on apart from the
// request, whose end tells nothing of it.
func (a *restAPI) reportLeaked(ctx context.Context, _ auth.Caller, in *reportLeakedInput) (*reportLeakedOutput, error) {
	moment := time.NewTimer(reportTime)
	defer moment.Stop()
	by := kit.Nobody(ctx)
	if err := a.c.APIKeys.MayReport(ctx, by); err != nil {
		return nil, err
	}
	select {
	case a.reports <- struct{}{}:
	default:
		return nil, fault.Unavailable("too_many_reports", "Too many reports are being worked on. Try again in a moment.", time.Second)
	}
	answered := make(chan struct{})
	defer close(answered)
	a.c.Reports.Go(func() {
		a.workOnReport(context.WithoutCancel(ctx), by, in.Body.Token)
		<-answered // a place is taken equally long by all reports
		<-a.reports
	})
	select {
	case <-moment.C:
	case <-ctx.Done():
	}
	out := &reportLeakedOutput{}
	out.Body.Status = "received"
	return out, nil
}

// workOnReport does what a report asks for. Nobody waits for its outcome: what goes
// wrong stands in the log.
func (a *restAPI) workOnReport(ctx context.Context, by auth.Caller, token string) {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return a.c.APIKeys.ReportLeaked(ctx, by, token)
	}()
	if err != nil {
		a.c.Log.LogAttrs(ctx, slog.LevelError, "a report of a leaked API key was not worked on", slog.String("request_id", by.RequestID), slog.String("error", err.Error()))
	}
}
