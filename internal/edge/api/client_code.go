package api

import (
	"context"
	"net/http"
	"time"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/base/fault"
	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/room/client"
)

// EnrolmentCodeBody is an enrolment code as the API shows it, without the code. It is
// exported for huma, as ListInput is.
type EnrolmentCodeBody struct {
	ID        string    `json:"id" example:"enr_01jd3v9b8eexav2f6hqdr3wzkt"`
	Uses      int       `json:"uses" doc:"How many clients it approves."`
	UsesLeft  int       `json:"uses_left"`
	CreatedBy string    `json:"created_by" doc:"The name of who made it."`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func renderEnrolmentCode(c client.Code) EnrolmentCodeBody {
	return EnrolmentCodeBody{ID: string(c.ID), Uses: c.Uses, UsesLeft: c.Left, CreatedBy: c.CreatedBy, CreatedAt: c.CreatedAt, ExpiresAt: c.ExpiresAt}
}

// issuedCodeBody is an enrolment code with the code, which is shown this once.
type issuedCodeBody struct {
	EnrolmentCodeBody
	Code               string `json:"code,omitempty" doc:"What a program enrols with, alone, to be approved at once. It is shown this once."`
	SecretAlreadyShown bool   `json:"secret_already_shown,omitempty" doc:"True in the answer to a repeat, which has no code."`
}

type issuedCodeOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         issuedCodeBody
}

// codeAnswer is the answer with a new code; without its text, to a repeat.
func codeAnswer(c client.Code, text string) *issuedCodeOutput {
	return &issuedCodeOutput{CacheControl: "no-store", Body: issuedCodeBody{EnrolmentCodeBody: renderEnrolmentCode(c), Code: text, SecretAlreadyShown: text == ""}}
}

type issueCodeInput struct {
	Body *struct {
		Minutes int `json:"minutes,omitempty" doc:"How long it is good: 10 to 43,200; 60 if it is left out."`
		Uses    int `json:"uses,omitempty" doc:"How many clients it approves: 1 to 1,000; 1 if it is left out."`
	}
}

// EnrolmentCodePath names one enrolment code. It is exported for huma, as ListInput is.
type EnrolmentCodePath struct {
	ID string `path:"id" doc:"The enrolment code's id: enr_…"`
}

func (p EnrolmentCodePath) code() id.EnrolmentCode {
	c, _ := id.Parse[id.KindEnrolmentCode](p.ID)
	return c
}

// registerEnrolmentCodes is the route registration of the operations of enrolment codes.
func (a *restAPI) registerEnrolmentCodes() {
	const read, write = "Needs the permission clients.read.", "Needs the permission clients.write."
	register(a, operation("list-enrolment-codes", http.MethodGet, "/clients/enrolment-codes", "List the enrolment codes that are good", "Newest first. "+read), a.listCodes)
	issue := operation("issue-enrolment-code", http.MethodPost, "/clients/enrolment-codes", "Issue an enrolment code",
		"A program that shows it needs no API key to enrol: it is approved at once, and gets a Clients key of its own, which ends when the client is revoked. "+write, http.StatusConflict)
	issue.DefaultStatus = http.StatusCreated
	registerPost(a, issue, a.issueCode, a.repeatIssueCode)
	register(a, operation("withdraw-enrolment-code", http.MethodDelete, "/clients/enrolment-codes/{id}", "Withdraw an enrolment code",
		"Clients that it approved stay. "+write, http.StatusNotFound), a.withdrawCode)
}

func (a *restAPI) listCodes(ctx context.Context, by auth.Caller, _ *struct{}) (*listOutput[EnrolmentCodeBody], error) {
	all, err := a.c.Clients.Codes(ctx, by)
	if err != nil {
		return nil, err
	}
	return listAnswer(ctx, a, by, whole(all), "", renderEnrolmentCode)
}

func (a *restAPI) issueCode(ctx context.Context, by auth.Caller, in *issueCodeInput) (*issuedCodeOutput, error) {
	var n client.NewEnrolmentCode
	if b := in.Body; b != nil {
		const most = int(client.MaxCodeLife / time.Minute)
		// What is beyond the bounds stays so, and does not overflow.
		n = client.NewEnrolmentCode{Life: time.Duration(max(-1, min(b.Minutes, most+1))) * time.Minute, Uses: b.Uses}
	}
	c, text, err := a.c.Clients.IssueCode(ctx, by, n)
	if err != nil {
		return nil, err
	}
	return codeAnswer(c, text.ExposeString()), nil
}

// repeatIssueCode answers a repeat without the code. One that is over, used up or withdrawn
// by now is not there any more.
func (a *restAPI) repeatIssueCode(ctx context.Context, as auth.Caller, _ *issueCodeInput, note string) (*issuedCodeOutput, error) {
	all, err := a.c.Clients.Codes(ctx, as)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if string(c.ID) == note {
			return codeAnswer(c, ""), nil
		}
	}
	return nil, fault.NotFound("enrolment_code_not_found", "This enrolment code does not exist.")
}

func (a *restAPI) withdrawCode(ctx context.Context, by auth.Caller, in *EnrolmentCodePath) (*struct{}, error) {
	return nil, a.c.Clients.WithdrawCode(ctx, by, in.code())
}
