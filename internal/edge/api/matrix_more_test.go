package api_test

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
)

// TestMatrix_noticesDeviations tries a policy that is wrong in one thing each time.
func TestMatrix_noticesDeviations(t *testing.T) {
	b := newBench(t)
	rows := map[string]row{}
	for _, r := range readPolicy(t).Rows {
		rows[r.name()] = r
	}
	for _, c := range []struct {
		row, caller, want string
		change            func(r *row)
	}{
		{"get-user", "user", "want one of [200]", func(r *row) { r.Needs = "" }},
		{"get-user", "Admin key with users.read", "want 403", func(r *row) { r.Needs = auth.UsersWrite }},
		{"get-user", "nobody", "", func(*row) {}},
		{"create-api-key (an Admin key)", "Admin key with api_keys.write", "want one of [201]", func(r *row) { r.Before = nil }},
		{"patch-administrator (make an owner)", "Admin key with all permissions", "want one of [200]", func(r *row) { r.Target = nil }},
		{"list-my-passkeys", "Admin key with all permissions", "want one of [200]", func(r *row) { r.Before = nil }},
		{"patch-workspace (where checkpoints go)", "owner without a fresh passkey", "want one of [200]", func(r *row) { r.Target = nil }},
		{"patch-user", "owner", "the record has no line", func(r *row) { r.Body = []byte("{}") }},
		{"delete-my-passkey", "owner in the app", "want one of [204]", func(r *row) { r.Target = nil }},
		{"get-authenticator-whoami", "Admin key with all permissions", "want one of [200]", func(r *row) { r.Opens = "" }},
		{"get-authenticator-whoami", "owner", "want one of [200]", func(r *row) { r.Opens = "" }},
		{"get-shared-mobile-whoami", "Shared Mobile key", "want 403 wrong_key_type", func(r *row) { r.Opens = "clients" }},
		{"get-user", "owner", "user_not_found", func(r *row) { r.IDs = map[string]string{"id": "group"} }},
	} {
		var told []string
		m := newMatrix(b, func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
		r := rows[c.row]
		c.change(&r)
		m.try(r, b.named(c.caller))
		if all := strings.Join(told, "\n"); (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
			t.Errorf("%s as %s told %q, want %q", c.row, c.caller, all, c.want)
		}
	}
	// Rows that are written where nothing may be, and another workspace's.
	var told []string
	m := newMatrix(b, func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) })
	b.user(b.worlds[0])
	all := b.changes()
	if !slices.Contains(all, change{"directory_user", "INSERT", string(b.worlds[0].id)}) {
		t.Fatalf("a new user wrote %v, want a row of directory_user", all)
	}
	get := cell{row: rows["get-user"], op: m.operations["get-user"], caller: b.named("owner")}
	for name, status := range map[string]int{"owner": http.StatusOK, "user": http.StatusForbidden, "Admin key of another workspace": http.StatusOK} {
		before := len(told)
		get.caller = b.named(name)
		if m.checkChanges(get, status, all); len(told) == before {
			t.Errorf("rows written by a call of %s that answered %d were not noticed", name, status)
		}
	}
}

// TestMatrix_everyRouteIsInTheDocument asks the server for all its routes.
func TestMatrix_everyRouteIsInTheDocument(t *testing.T) {
	p, b := readPolicy(t), newBench(t)
	known, paths := slices.Concat(p.Open, p.Proven), map[string][]string{}
	for _, op := range newMatrix(b, t.Errorf).operations {
		known = append(known, op.method+" "+op.path)
		paths[op.path] = append(paths[op.path], op.method)
	}
	n := 0
	for _, pattern := range routes(reflect.ValueOf(b.mux), map[uintptr]bool{}) {
		_, path, hasMethod := strings.Cut(pattern, " ")
		if !hasMethod {
			path = pattern
		}
		if !strings.HasPrefix(path, "/api/v1") && !strings.HasPrefix(path, "/authenticator/v1") && !strings.HasPrefix(path, "/shared-mobile/v1") {
			continue // pages, and what answers that there is nothing
		}
		n++
		if !slices.Contains(known, pattern) {
			t.Errorf("the route %s is not in the OpenAPI document", pattern)
		}
	}
	if n != len(known) {
		t.Errorf("found %d routes, and %d are known", n, len(known))
	}
	owner := b.named("owner")
	for path, methods := range paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			if slices.Contains(methods, method) {
				if a := b.send(b.named("nobody"), "HEAD", path, ""); method == "GET" && a.status != http.StatusUnauthorized {
					t.Errorf("HEAD %s as nobody = %d, want 401", path, a.status)
				}
				continue
			}
			if a := b.send(owner, method, strings.NewReplacer("{", "", "}", "").Replace(path), ""); a.status < 400 {
				t.Errorf("%s %s = %d, and is not in the document", method, path, a.status)
			}
		}
	}
}

// routes returns the patterns that a mux has: net/http tells them to nobody, so
// they are read from its unexported fields.
func routes(v reflect.Value, seen map[uintptr]bool) (all []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return nil
		}
		seen[v.Pointer()] = true
		return routes(v.Elem(), seen)
	case reflect.Struct:
		if v.Type().PkgPath() == "net/http" && v.Type().Name() == "pattern" {
			return []string{v.FieldByName("str").String()}
		}
		for i := range v.NumField() {
			all = append(all, routes(v.Field(i), seen)...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, routes(v.Index(i), seen)...)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			all = append(all, routes(v.MapIndex(key), seen)...)
		}
	}
	return all
}

// TestMatrix_twiceAtOnce sends each changing request of an owner twice at the same
// time: one wins, the other is told so.
func TestMatrix_twiceAtOnce(t *testing.T) {
	p, b := readPolicy(t), newBench(t)
	m := newMatrix(b, t.Errorf)
	owner := b.named("owner")
	for _, r := range p.Rows {
		op := m.operations[r.Op]
		if !op.mutates() || r.Public {
			continue
		}
		ids := m.own(r, op, owner, true)
		var group sync.WaitGroup
		var answers [2]answer
		request := m.request(cell{row: r, op: op, caller: owner, ids: ids})
		for i := range answers {
			group.Go(func() { answers[i] = request() })
		}
		group.Wait()
		won := 0
		for _, a := range answers {
			switch {
			case slices.Contains(op.success, a.status):
				won++
			case !slices.Contains([]int{http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests}, a.status):
				t.Errorf("%s twice at once = %d %s", r.name(), a.status, a.text)
			}
		}
		if won == 0 || won == 2 && op.method == http.MethodDelete && !r.Again {
			t.Errorf("%s twice at once succeeded %d times, want once: %d, %d", r.name(), won, answers[0].status, answers[1].status)
		}
	}
}

// TestMatrix_repeats sends each POST of an administrator twice with one idempotency
// key: the second does nothing. Once the administrator has lost their permissions
// it tells nothing either.
func TestMatrix_repeats(t *testing.T) {
	p, b := readPolicy(t), newBench(t)
	m := newMatrix(b, t.Errorf)
	boss := b.named("owner")
	for _, r := range p.Rows {
		op := m.operations[r.Op]
		if op.method != http.MethodPost || r.Public {
			continue
		}
		c := cell{row: r, op: op, caller: boss, ids: m.own(r, op, boss, true)}
		request := m.request(c, "Idempotency-Key", "one of "+r.name())
		first := request()
		_ = b.changes()
		second := request()
		if !slices.Contains(op.success, first.status) || second.status != first.status {
			t.Errorf("%s = %d, its repeat %d: %s", r.name(), first.status, second.status, second.text)
		}
		for _, one := range b.changes() {
			if one.table != "latch" {
				t.Errorf("the repeat of %s wrote a row: %v", r.name(), one)
			}
		}
		for _, change := range [][2]string{
			{`UPDATE signin_administrator SET owner = 0, permissions = '' WHERE user_id = $1`, `UPDATE signin_administrator SET owner = 1 WHERE user_id = $1`},
			{`UPDATE directory_user SET suspended_at = 1 WHERE id = $1`, `UPDATE directory_user SET suspended_at = 0 WHERE id = $1`},
		} {
			b.exec(change[0], string(boss.user))
			if a := request(); a.status != http.StatusForbidden && a.status != http.StatusUnauthorized || strings.Contains(a.text, `"id"`) {
				t.Errorf("%s, repeated by one who may no more (%s) = %d %s", r.name(), change[0], a.status, a.text)
			}
			b.exec(change[1], string(boss.user))
		}
		_ = b.changes()
	}
}

// TestMatrix_actsOnMany has somebody with users.write alone delete one of each kind:
// only who holds nothing goes.
func TestMatrix_actsOnMany(t *testing.T) {
	b := newBench(t)
	here, there := b.worlds[0], b.worlds[1]
	by := b.named("administrator with users.write")
	var ids []string
	want := []string{"", "beyond_your_permissions", "beyond_your_permissions", "not_yourself", "user_not_found", "user_not_found", "user_not_found"}
	for _, kind := range []string{"user", "holder", "owner_user"} {
		ids = append(ids, b.thing(here, kind, "", by))
	}
	ids = append(ids, string(by.user), b.thing(there, "user", "", by), missing("user"), "7")
	_ = b.changes()
	a := b.send(by, http.MethodPost, "/api/v1/users/delete", `{"ids":["`+strings.Join(ids, `","`)+`"]}`)
	var got []string
	for _, code := range regexp.MustCompile(`"code":"([a-z_]*)"`).FindAllStringSubmatch(a.text, -1) {
		got = append(got, code[1])
	}
	if a.status != http.StatusOK || !slices.Equal(got, want) {
		t.Errorf("outcomes = %d %q, want %q", a.status, got, want)
	}
	var gone, lines int
	for _, one := range b.changes() {
		switch {
		case one.workspace != "" && one.workspace != string(here.id):
			t.Errorf("another workspace's row was written: %v", one)
		case one.table == "directory_user" && one.what == "DELETE":
			gone++
		case one.table == "activity":
			lines++
		}
	}
	if gone != 1 || lines < 2 {
		t.Errorf("%d users are gone with %d lines, want 1 with its line and the refusals'", gone, lines)
	}
}
