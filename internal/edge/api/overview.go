package api

import (
	"context"
	"net/http"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/overview"
)

type statisticsInput struct {
	Timezone string `query:"timezone" doc:"IANA name, such as Europe/Berlin: where the days begin. UTC if it is left out."`
	From     string `query:"from" doc:"The first day, like 2026-12-04; thirty days before to if it is left out."`
	To       string `query:"to" doc:"The last day; today if both are left out. At most 400 days are counted at once."`
}

// StatisticsRange is the range that was counted. It is exported for huma, as
// ListInput is.
type StatisticsRange struct {
	Timezone string `json:"timezone"`
	From     string `json:"from"`
	To       string `json:"to"`
}

type statusCounts struct {
	NotInvited int64 `json:"not_invited"`
	Pending    int64 `json:"pending"`
	Active     int64 `json:"active"`
	Suspended  int64 `json:"suspended"`
}

type usersDay struct {
	Date    string `json:"date" example:"2026-12-04"`
	Created int64  `json:"created"`
	Deleted int64  `json:"deleted"`
}

type userStatistics struct {
	StatisticsRange
	Total    int64        `json:"total" doc:"Users there are now."`
	ByStatus statusCounts `json:"by_status" doc:"How many of them have which status."`
	Days     []usersDay   `json:"days" nullable:"false" doc:"Each day of the range."`
}

type groupsDay struct {
	Date    string `json:"date" example:"2026-12-04"`
	Created int64  `json:"created"`
}

type groupStatistics struct {
	StatisticsRange
	Total int64       `json:"total" doc:"Groups there are now, Everyone included."`
	Days  []groupsDay `json:"days" nullable:"false" doc:"Each day of the range."`
}

// OutcomeCounts counts by outcome. It is exported for huma, as ListInput is.
type OutcomeCounts struct {
	Success int64 `json:"success"`
	Refused int64 `json:"refused"`
	Failed  int64 `json:"failed"`
}

type loginsDay struct {
	Date string `json:"date" example:"2026-12-04"`
	OutcomeCounts
}

type loginStatistics struct {
	StatisticsRange
	Total OutcomeCounts `json:"total" doc:"Sign-ins in the range, here and at websites with a security key, by outcome."`
	Days  []loginsDay   `json:"days" nullable:"false" doc:"Each day of the range."`
}

type kindCounts struct {
	ContactlessCard int64 `json:"contactless_card"`
	Smartphone      int64 `json:"smartphone"`
	FIDO2           int64 `json:"fido2"`
}

type keyStatusCounts struct {
	New       int64 `json:"new"`
	Pending   int64 `json:"pending"`
	Active    int64 `json:"active"`
	Suspended int64 `json:"suspended"`
}

type keysDay struct {
	Date      string `json:"date" example:"2026-12-04"`
	Created   int64  `json:"created"`
	Activated int64  `json:"activated"`
	Deleted   int64  `json:"deleted"`
}

type securityKeyStatistics struct {
	StatisticsRange
	Total    int64           `json:"total" doc:"Security keys there are now."`
	ByKind   kindCounts      `json:"by_kind" doc:"How many of them are of which kind."`
	ByStatus keyStatusCounts `json:"by_status" doc:"How many of them have which status."`
	Days     []keysDay       `json:"days" nullable:"false" doc:"Each day of the range. A key that is activated anew after a suspension does not count again."`
}

// doorKeyCounts has the names of the statuses as digital keys bear them.
type doorKeyCounts struct {
	Upcoming  int64 `json:"UPCOMING"`
	Active    int64 `json:"ACTIVE"`
	Expired   int64 `json:"EXPIRED"`
	Cancelled int64 `json:"CANCELLED"`
}

type doorKeysDay struct {
	Date      string `json:"date" example:"2026-12-04"`
	Created   int64  `json:"created"`
	Cancelled int64  `json:"cancelled"`
}

type digitalKeyStatistics struct {
	StatisticsRange
	Total    int64         `json:"total" doc:"Digital keys there are now."`
	ByStatus doorKeyCounts `json:"by_status" doc:"How many of them have which status."`
	Days     []doorKeysDay `json:"days" nullable:"false" doc:"Each day of the range."`
}

type (
	digitalKeyStatisticsOutput  struct{ Body digitalKeyStatistics }
	securityKeyStatisticsOutput struct{ Body securityKeyStatistics }

	userStatisticsOutput  struct{ Body userStatistics }
	groupStatisticsOutput struct{ Body groupStatistics }
	loginStatisticsOutput struct{ Body loginStatistics }
)

func (a *restAPI) registerStatistics() {
	register(a, operation("get-user-statistics", http.MethodGet, "/statistics/users", "Count users",
		"How many there are now, and how many were created and deleted on each day. Needs the permission users.read."), a.userStatistics)
	register(a, operation("get-group-statistics", http.MethodGet, "/statistics/groups", "Count groups",
		"How many there are now, and how many were created on each day. Needs the permission users.read."), a.groupStatistics)
	register(a, operation("get-security-key-statistics", http.MethodGet, "/statistics/security-keys", "Count security keys",
		"How many there are now, and how many were created, became active and were deleted on each day. Needs the permission security_keys.read."), a.securityKeyStatistics)
	register(a, operation("get-digital-key-statistics", http.MethodGet, "/statistics/digital-keys", "Count digital keys",
		"How many there are now, and how many were created and cancelled on each day. Needs the permission digital_keys.read."), a.digitalKeyStatistics)
	register(a, operation("get-login-statistics", http.MethodGet, "/statistics/logins", "Count sign-ins",
		"How many succeeded, were refused and failed on each day: sign-ins here, and those at websites with a security key. Needs the permission activities.read."), a.loginStatistics)
}

func (a *restAPI) rangeOf(in *statisticsInput) (overview.Range, StatisticsRange, error) {
	r, f := overview.ParseRange(in.From, in.To, in.Timezone, a.c.Kit.Clock().Now())
	if f != nil {
		return r, StatisticsRange{}, f
	}
	return r, StatisticsRange{Timezone: r.Zone.String(), From: r.First.String(), To: r.Last.String()}, nil
}

func (a *restAPI) userStatistics(ctx context.Context, by auth.Caller, in *statisticsInput) (*userStatisticsOutput, error) {
	r, span, err := a.rangeOf(in)
	if err != nil {
		return nil, err
	}
	users, err := a.c.Overview.Users(ctx, by, r)
	if err != nil {
		return nil, err
	}
	out := userStatistics{StatisticsRange: span, Total: users.Total, ByStatus: statusCounts(users.ByStatus)}
	for _, d := range users.Days {
		out.Days = append(out.Days, usersDay{Date: d.Date.String(), Created: d.Created, Deleted: d.Deleted})
	}
	return &userStatisticsOutput{Body: out}, nil
}

func (a *restAPI) groupStatistics(ctx context.Context, by auth.Caller, in *statisticsInput) (*groupStatisticsOutput, error) {
	r, span, err := a.rangeOf(in)
	if err != nil {
		return nil, err
	}
	groups, err := a.c.Overview.Groups(ctx, by, r)
	if err != nil {
		return nil, err
	}
	out := groupStatistics{StatisticsRange: span, Total: groups.Total}
	for _, d := range groups.Days {
		out.Days = append(out.Days, groupsDay{Date: d.Date.String(), Created: d.Created})
	}
	return &groupStatisticsOutput{Body: out}, nil
}

func (a *restAPI) securityKeyStatistics(ctx context.Context, by auth.Caller, in *statisticsInput) (*securityKeyStatisticsOutput, error) {
	r, span, err := a.rangeOf(in)
	if err != nil {
		return nil, err
	}
	keys, err := a.c.Overview.SecurityKeys(ctx, by, r)
	if err != nil {
		return nil, err
	}
	out := securityKeyStatistics{StatisticsRange: span, Total: keys.Total, ByKind: kindCounts(keys.ByKind), ByStatus: keyStatusCounts(keys.ByStatus)}
	for _, d := range keys.Days {
		out.Days = append(out.Days, keysDay{Date: d.Date.String(), Created: d.Created, Activated: d.Activated, Deleted: d.Deleted})
	}
	return &securityKeyStatisticsOutput{Body: out}, nil
}

func (a *restAPI) digitalKeyStatistics(ctx context.Context, by auth.Caller, in *statisticsInput) (*digitalKeyStatisticsOutput, error) {
	r, span, err := a.rangeOf(in)
	if err != nil {
		return nil, err
	}
	keys, err := a.c.Overview.DigitalKeys(ctx, by, r)
	if err != nil {
		return nil, err
	}
	out := digitalKeyStatistics{StatisticsRange: span, Total: keys.Total, ByStatus: doorKeyCounts(keys.ByStatus)}
	for _, d := range keys.Days {
		out.Days = append(out.Days, doorKeysDay{Date: d.Date.String(), Created: d.Created, Cancelled: d.Cancelled})
	}
	return &digitalKeyStatisticsOutput{Body: out}, nil
}

func (a *restAPI) loginStatistics(ctx context.Context, by auth.Caller, in *statisticsInput) (*loginStatisticsOutput, error) {
	r, span, err := a.rangeOf(in)
	if err != nil {
		return nil, err
	}
	logins, err := a.c.Overview.Logins(ctx, by, r)
	if err != nil {
		return nil, err
	}
	out := loginStatistics{StatisticsRange: span, Total: OutcomeCounts(logins.Total)}
	for _, d := range logins.Days {
		out.Days = append(out.Days, loginsDay{Date: d.Date.String(), OutcomeCounts: OutcomeCounts(d.Outcomes)})
	}
	return &loginStatisticsOutput{Body: out}, nil
}
