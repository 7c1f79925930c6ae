package api_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
	"github.com/keyhold/keyhold/internal/room/apikey"
)

// policy is testdata/policy.json, which says itself what its fields mean.
type policy struct {
	About []string `json:"about"`
	Open  []string `json:"open"`
	// Proven are routes of the authenticator's edge, which is tried where it is.
	Proven []string `json:"proven"`
	Rows   []row    `json:"rows"`
}

// row is one request and who may send it.
type row struct {
	Op     string            `json:"op"`
	As     string            `json:"as"`
	Needs  auth.Permission   `json:"needs"`
	Before []string          `json:"before"`
	Target []string          `json:"target"`
	IDs    map[string]string `json:"ids"`
	Query  string            `json:"query"`
	Body   json.RawMessage   `json:"body"`
	Quiet  bool              `json:"quiet"`
	Again  bool              `json:"again"`
	Keys   bool              `json:"keys"`
	Opens  apikey.Type       `json:"opens"`
	Public bool              `json:"public"`
}

func (r row) name() string {
	if r.As == "" {
		return r.Op
	}
	return r.Op + " (" + r.As + ")"
}

func readPolicy(t *testing.T) policy {
	t.Helper()
	text, err := os.ReadFile("testdata/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var p policy
	if err := d.Decode(&p); err != nil {
		t.Fatalf("testdata/policy.json: %v", err)
	}
	return p
}

// operation is one of the OpenAPI document's.
type operation struct {
	id, method, path, description string
	places                        []string // names of the path's ids, in their order
	success                       []int
	statuses                      []int // all that are documented
	ifMatch                       bool
}

// mutates says whether the operation may change anything but the record.
func (o operation) mutates() bool { return o.method != "GET" }

// readOperations reads the OpenAPI document that the server serves.
func readOperations(t *testing.T, document string) map[string]operation {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string                     `json:"operationId"`
			Description string                     `json:"description"`
			Responses   map[string]json.RawMessage `json:"responses"`
			Parameters  []struct {
				Name string `json:"name"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatalf("reading the OpenAPI document: %v", err)
	}
	all := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if _, twice := all[o.OperationID]; twice || o.OperationID == "" {
				t.Errorf("%s %s: the operation id %q is empty or stands twice", method, path, o.OperationID)
			}
			op := operation{id: o.OperationID, method: strings.ToUpper(method), path: path, description: o.Description}
			for part := range strings.SplitSeq(path, "/") {
				if strings.HasPrefix(part, "{") {
					op.places = append(op.places, strings.Trim(part, "{}"))
				}
			}
			for text := range o.Responses {
				status, err := strconv.Atoi(text)
				if err != nil {
					continue // "default"
				}
				op.statuses = append(op.statuses, status)
				if status < 300 {
					op.success = append(op.success, status)
				}
			}
			for _, p := range o.Parameters {
				op.ifMatch = op.ifMatch || p.Name == "If-Match"
			}
			all[op.id] = op
		}
	}
	return all
}

// checkPolicy asks that the table and the document speak of the same operations and
// ids, and that each operation's description names what it needs.
func checkPolicy(t *testing.T, p policy, operations map[string]operation) {
	t.Helper()
	without := maps.Clone(operations)
	names := map[string]bool{}
	for _, r := range p.Rows {
		op, known := operations[r.Op]
		if !known {
			t.Errorf("testdata/policy.json: there is no operation %s", r.Op)
			continue
		}
		delete(without, r.Op)
		if names[r.name()] {
			t.Errorf("testdata/policy.json: %s stands twice", r.name())
		}
		names[r.name()] = true
		for _, place := range op.places {
			if r.IDs[place] == "" {
				t.Errorf("testdata/policy.json: %s does not say what {%s} of %s is", r.name(), place, op.path)
			}
		}
		for name, kind := range r.IDs {
			if _, known := notFoundCode[kind]; !known {
				t.Errorf("testdata/policy.json: %s: %s is of the unknown kind %q", r.name(), name, kind)
			}
			if !slices.Contains(op.places, name) && !strings.Contains(r.Query+string(r.Body), "<"+name+">") {
				t.Errorf("testdata/policy.json: %s has no place for %s", r.name(), name)
			}
		}
		if r.Needs != "" && !slices.Contains(auth.All(), r.Needs) {
			t.Errorf("testdata/policy.json: %s needs %q, which does not exist", r.name(), r.Needs)
		}
		if !strings.Contains(op.description, string(r.Needs)) {
			t.Errorf("%s needs %s, and its description does not say so: %s", r.name(), r.Needs, op.description)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(without)) {
		t.Errorf("testdata/policy.json lacks the operation %s: say there who may call it", name)
	}
}

// notFoundCode is the answer's code by the kind of id.
//
// constant: a table.
var notFoundCode = map[string]string{
	"user": "user_not_found", "suspended_user": "user_not_found", "suspended_holder": "user_not_found", "holder": "user_not_found", "owner_user": "user_not_found", "member": "user_not_found",
	"group": "group_not_found", "administrator": "administrator_not_found", "owner": "administrator_not_found",
	"passkey": "passkey_not_found", "my_passkey": "passkey_not_found", "session": "session_not_found", "my_session": "session_not_found",
	"activity":     "activity_not_found",
	"passed_user":  "user_not_found",
	"security_key": "security_key_not_found", "holder_security_key": "security_key_not_found",
	"suspended_security_key": "security_key_not_found", "suspended_holder_security_key": "security_key_not_found",
	"pending_security_key": "security_key_not_found", "pending_holder_security_key": "security_key_not_found",
	"waiting_security_key": "security_key_not_found", "waiting_holder_security_key": "security_key_not_found",
	"api_key": "api_key_not_found", "disabled_api_key": "api_key_not_found", "leaked_api_key": "api_key_not_found",
	"admin_key": "api_key_not_found", "disabled_admin_key": "api_key_not_found", "overlapping_admin_key": "api_key_not_found",
	"client": "client_not_found", "revoked_client": "client_not_found", "enrolment_code": "enrolment_code_not_found",
	"credential": "credential_not_found", "holder_credential": "credential_not_found",
	"lock": "lock_not_found", "online_lock": "lock_not_found", "lock_command": "lock_command_not_found",
	"digital_key": "digital_key_not_found", "cancelled_digital_key": "digital_key_not_found",
}

// verdict is what the policy says of a call.
type verdict struct {
	status     int // 0 for any success that is documented
	code       string
	permission auth.Permission // which the answer names
}

func forbidden(code string) verdict { return verdict{status: 403, code: code} }

// before is the policy's answer that no id changes; false if there is none.
func (r row) before(c *caller) (verdict, bool) {
	switch {
	case !c.accepted:
		return verdict{status: 401, code: "unauthenticated"}, true
	case r.Opens != "" && c.kind != auth.APIKey:
		return verdict{status: 401, code: "unauthenticated"}, true
	case c.kind == auth.APIKey && c.keyType != cmp.Or(r.Opens, apikey.Admin):
		return forbidden("wrong_key_type"), true
	case c.keysOnly && !r.Keys:
		return forbidden("keys_only"), true
	case !c.permissions.Has(r.Needs):
		return verdict{403, "missing_permission", r.Needs}, true
	}
	return c.breaks(r.Before, nil)
}

// breaks returns the verdict of the first rule that the caller breaks.
func (c *caller) breaks(rules []string, of auth.Permissions) (verdict, bool) {
	for _, rule := range rules {
		ok, code := true, ""
		switch rule {
		case "all_permissions":
			ok, code = c.permissions.Covers(auth.All()), "beyond_your_permissions"
		case "covers":
			ok, code = c.permissions.Covers(of), "beyond_your_permissions"
		case "covers_owner":
			ok, code = c.owner, "beyond_your_permissions"
		case "owner":
			ok, code = c.owner, "owners_only"
		case "person":
			ok, code = c.kind != auth.APIKey, "person_only"
		case "step_up":
			ok, code = c.kind != auth.Administrator || c.fresh, "step_up_required"
		case "panel":
			ok, code = !c.elsewhereAdministrator, "panel_only"
		default:
			if p := auth.Permission(rule); !c.permissions.Has(p) {
				return verdict{403, "missing_permission", p}, true
			}
		}
		if !ok {
			return forbidden(code), true
		}
	}
	return verdict{}, false
}
