package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/keyhold/keyhold/internal/base/auth"
)

// matrix tries every operation as every kind of caller, see testdata/policy.json.
type matrix struct {
	*bench
	operations map[string]operation
	tell       func(format string, args ...any) // hears of deviations
	cells      int
	turn       int // counts calls of stopped
	deviations int
	nobody     map[string]string // the answer of each edge to whoever is not accepted
	succeeded  map[string]bool   // by row
}

// maxTold bounds how many deviations are told one by one.
const maxTold = 60

func TestMatrix(t *testing.T) {
	p, b := readPolicy(t), newBench(t)
	m := newMatrix(b, t.Errorf)
	checkPolicy(t, p, m.operations)
	if t.Failed() {
		t.FailNow()
	}
	for _, r := range p.Rows {
		if r.Public {
			m.public(r)
			continue
		}
		for _, c := range b.callers {
			m.try(r, c)
		}
	}
	for _, r := range p.Rows {
		if !m.succeeded[r.name()] {
			m.deviate("%s never succeeded", r.name())
		}
	}
	t.Logf("%d operations in %d rows, %d callers, %d cells, %d deviations", len(m.operations), len(p.Rows), len(b.callers), m.cells, m.deviations)
}

func newMatrix(b *bench, tell func(format string, args ...any)) *matrix {
	b.t.Helper()
	return &matrix{
		bench: b, tell: tell, succeeded: map[string]bool{},
		operations: readOperations(b.t, b.call("", "GET", "/api/v1/openapi.json", "").text),
		nobody:     map[string]string{},
	}
}

func (m *matrix) deviate(format string, args ...any) {
	if m.deviations++; m.deviations <= maxTold {
		m.tell(format, args...)
	}
}

// cell is one request.
type cell struct {
	row    row
	op     operation
	caller *caller
	ids    map[string]string
	odd    string // what is special about the ids
	// malformed says that one of them cannot be an id there.
	malformed bool
}

func (c cell) String() string { return fmt.Sprintf("%s as %s%s", c.row.name(), c.caller.name, c.odd) }

// try tries a row as a caller, with ids of all kinds.
func (m *matrix) try(r row, c *caller) {
	op := m.operations[r.Op]
	before, stopped := r.before(c)
	want := before
	if !stopped {
		var f bool
		if want, f = c.breaks(r.Target, m.rightsOf(r, op)); !f {
			want = verdict{}
		}
	}
	own := cell{row: r, op: op, caller: c, ids: m.own(r, op, c, want == verdict{} && op.mutates())}
	a := m.ask(own, want)
	if stopped {
		m.stopped(own, a, want)
		return
	}
	for i, place := range places(r, op) {
		if !slices.Contains(op.places, place) {
			if want == (verdict{}) {
				m.body(own, place)
			}
			continue
		}
		kind := r.IDs[place]
		none := verdict{status: http.StatusNotFound, code: notFoundCode[kind]}
		if i > 0 && want != (verdict{}) {
			none = want // what the first id names decides
		}
		first := ""
		for _, odd := range m.strange(own, place) {
			other := m.ask(odd, none)
			if first == "" {
				first = outline(other)
			}
			if got := outline(other); got != first {
				m.deviate("%s is told from a missing one:\n%s\n%s", odd, got, first)
			}
		}
	}
}

// nobodyAt returns what the edge with that path answers to whoever is not accepted.
func (m *matrix) nobodyAt(path string) string {
	edge, _, _ := strings.Cut(path[1:], "/")
	if m.nobody[edge] == "" {
		if edge == "api" {
			path = "/api/v1/me"
		}
		m.nobody[edge] = outline(m.send(m.named("nobody"), "GET", path, ""))
	}
	return m.nobody[edge]
}

// public tries a row that is open to everybody, as all callers at once: nobody gets
// another answer than nobody, and nothing changes.
func (m *matrix) public(r row) {
	_ = m.changes()
	var group sync.WaitGroup
	answers := make([]answer, len(m.callers))
	atOnce := make(chan struct{}, 16)
	for i, c := range m.callers {
		request := m.request(cell{row: r, op: m.operations[r.Op], caller: c})
		group.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			answers[i] = request()
		})
	}
	group.Wait()
	for i, a := range answers {
		c := cell{row: r, op: m.operations[r.Op], caller: m.callers[i]}
		m.cells++
		if !slices.Contains(c.op.success, a.status) || outline(a) != outline(answers[0]) {
			m.deviate("%s is answered unlike %s:\n%s\n%s", c, m.callers[0].name, outline(a), outline(answers[0]))
		}
	}
	for _, one := range m.changes() {
		m.deviate("%s wrote a row: %v", r.name(), one)
	}
	m.succeeded[r.name()] = true
}

// stopped tries the ids that are not one's own on a caller who may not at all: the
// answer is always the same.
func (m *matrix) stopped(own cell, first answer, want verdict) {
	for _, place := range places(own.row, own.op) {
		all := m.strange(own, place)
		if m.turn++; testing.Short() {
			// One of them by turns, and none for every second caller.
			first := m.turn / 2 % len(all)
			all = all[first : first+m.turn%2]
		}
		for _, odd := range all {
			if odd.malformed && !slices.Contains(own.op.places, place) {
				// Fields of the wrong form may be told before it is asked who calls.
				a := m.deliver(odd)
				m.cells++
				if m.checkChanges(odd, a.status, m.changes()); a.status != want.status && a.status != http.StatusUnprocessableEntity {
					m.deviate("%s = %d, want %d or 422: %s", odd, a.status, want.status, a.text)
				}
				continue
			}
			if got := outline(m.ask(odd, want)); got != outline(first) {
				m.deviate("%s is answered unlike one's own:\n%s\n%s", odd, got, outline(first))
			}
		}
	}
	if own.op.ifMatch {
		own.odd = ", with a strange If-Match"
		if got := outline(m.ask(own, want, "If-Match", "strange")); got != outline(first) {
			m.deviate("%s is answered unlike without:\n%s\n%s", own, got, outline(first))
		}
	}
}

// places returns the names of the row's ids: those of the path in its order, then
// the others.
func places(r row, op operation) []string {
	out := slices.Clone(op.places)
	for _, name := range slices.Sorted(maps.Keys(r.IDs)) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// rightsOf returns what the one whom the first id names may do.
func (m *matrix) rightsOf(r row, op operation) auth.Permissions {
	all := places(r, op)
	if len(all) == 0 {
		return nil
	}
	if kind := r.IDs[all[0]]; strings.HasSuffix(kind, "holder_security_key") || kind == "holder_credential" {
		return holds()
	}
	switch r.IDs[all[0]] {
	case "holder", "suspended_holder", "administrator":
		return holds()
	case "owner", "owner_user", "admin_key", "disabled_admin_key", "overlapping_admin_key":
		return auth.All()
	}
	return nil
}

// own returns ids of the caller's workspace. They are new if the call will change
// what they name.
func (m *matrix) own(r row, op operation, c *caller, fresh bool) map[string]string {
	m.t.Helper()
	ids, of := map[string]string{}, ""
	for _, place := range places(r, op) {
		kind := r.IDs[place]
		mine := strings.HasPrefix(kind, "my_") && c.accepted && c.user != ""
		if fresh || mine {
			ids[place] = m.thing(c.at, kind, of, c)
		} else {
			ids[place] = m.standing(c.at, "of "+of, kind, of)
		}
		of = ids[place]
	}
	_ = m.changes() // the fixtures' own
	return ids
}

// strange returns the cell with ids in one place that are not the caller's to know:
// a missing one, another workspace's, malformed ones, and a colleague's where ids
// belong to somebody.
func (m *matrix) strange(own cell, place string) []cell {
	kind := own.row.IDs[place]
	there := m.worlds[1]
	if own.caller.at == there {
		there = m.worlds[0]
	}
	of := ""
	colleagues := kind == "passkey" || kind == "session"
	switch {
	case colleagues:
		of = m.standing(there, "a", "administrator", "")
	case kind == "member":
		of = m.standing(there, "a", "group", "")
	}
	type form struct {
		name, id  string
		malformed bool
	}
	forms := []form{
		{"a missing ", missing(kind), false},
		{"another workspace's ", m.standing(there, "of "+of, kind, of), false},
		{"a malformed ", "7", true},
	}
	if slices.Contains([]string{"nobody", "user", "owner", "Admin key with all permissions"}, own.caller.name) {
		forms = append(forms, form{"a shouted ", strings.ToUpper(missing(kind)), true}, form{"a long ", missing(kind) + strings.Repeat("0", 500), true},
			form{"another kind of ", "job_01jd3v9b8eexav2f6hqdr3wzkt", true}, form{"a broken ", missing(kind) + "%00", true})
	}
	switch {
	case colleagues:
		another := m.standing(own.caller.at, "another", "administrator", "")
		forms = append(forms, form{"a colleague's ", m.standing(own.caller.at, "of "+another, kind, another), false})
	case strings.HasPrefix(kind, "my_"):
		forms = append(forms, form{"a colleague's ", m.standing(own.caller.at, "of ", kind, ""), false})
	}
	_ = m.changes() // the fixtures' own
	var out []cell
	for _, form := range forms {
		if (form.name == "a broken " || form.name == "a long ") && !slices.Contains(own.op.places, place) {
			continue // the one is written so in paths only, the other is refused before anybody asks who calls
		}
		odd := own
		odd.ids = maps.Clone(own.ids)
		odd.ids[place], odd.odd, odd.malformed = form.id, ", "+form.name+place, form.malformed
		out = append(out, odd)
	}
	return out
}

// body tries strange ids in the query or the body. What is said of them may depend
// on their form, but never on whether another workspace has them, and nothing of
// another workspace changes.
func (m *matrix) body(own cell, place string) {
	first := ""
	own.row.Quiet = true // an act on many tells of each
	for _, odd := range m.strange(own, place) {
		a := m.deliver(odd)
		m.cells++
		if a.status >= 500 {
			m.deviate("%s = %d %s", odd, a.status, a.text)
		}
		m.checkChanges(odd, a.status, m.changes())
		if strings.Contains(odd.odd, "missing") {
			first = m.blank(outline(a), odd)
		}
		if got := m.blank(outline(a), odd); strings.Contains(odd.odd, "another workspace") && got != first {
			m.deviate("%s is told from a missing one:\n%s\n%s", odd, got, first)
		}
	}
}

// blank takes the cell's ids out of a text.
func (m *matrix) blank(text string, c cell) string {
	for _, v := range c.ids {
		text = strings.ReplaceAll(text, v, "…")
	}
	return regexp.MustCompile(`new\d+@`).ReplaceAllString(text, "new@")
}

// ask sends the cell's request, and compares what came back and what it changed
// with the verdict.
func (m *matrix) ask(c cell, want verdict, headers ...string) answer {
	a := m.deliver(c, headers...)
	m.cells++
	switch {
	case want == verdict{} && !slices.Contains(c.op.success, a.status):
		m.deviate("%s = %d, want one of %v: %s", c, a.status, c.op.success, a.text)
	case want != verdict{} && (a.status != want.status || !strings.Contains(a.text, `"code":"`+want.code+`"`)):
		m.deviate("%s = %d, want %d %s: %s", c, a.status, want.status, want.code, a.text)
	case want.permission != "" && !strings.Contains(a.text, " "+string(want.permission)+"."):
		m.deviate("%s does not name %s: %s", c, want.permission, a.text)
	case want.status == http.StatusUnauthorized && outline(a) != m.nobodyAt(c.op.path):
		m.deviate("%s is answered unlike nobody:\n%s\n%s", c, outline(a), m.nobodyAt(c.op.path))
	}
	if !slices.Contains(c.op.statuses, a.status) {
		m.deviate("%s = %d, which the document does not know", c, a.status)
	}
	told := withoutID(a.text) // once in a while there is a name in it
	for _, w := range m.worlds {
		if w != c.caller.at && (strings.Contains(strings.ToLower(told), w.name) || strings.Contains(told, string(w.id))) {
			m.deviate("%s tells of the workspace %s: %s", c, w.name, a.text)
		}
	}
	if want == (verdict{}) {
		m.succeeded[c.row.name()] = true
	}
	m.checkChanges(c, a.status, m.changes())
	return a
}

// checkChanges asks that a call which was refused changed nothing, that refusals of
// known callers and what was done stand in the record, and that nothing of another
// workspace was touched.
func (m *matrix) checkChanges(c cell, status int, all []change) {
	recorded, done := false, false
	for _, one := range all {
		switch {
		case one.workspace != "" && one.workspace != string(c.caller.at.id):
			m.deviate("%s = %d: a row of another workspace was written: %v", c, status, one)
		case one.table == "latch":
		case (status == http.StatusForbidden || status == http.StatusUnauthorized) && (one.table == "refusal" || one.table == "activity"):
			recorded = true
		case status < 300 && one.table == "activity":
			done = true
		case status >= 300 || !c.op.mutates():
			m.deviate("%s = %d: a row was written: %v", c, status, one)
		}
	}
	if status == http.StatusForbidden && !recorded {
		m.deviate("%s = %d: the refusal was not recorded", c, status)
	}
	if status < 300 && c.op.mutates() && !c.row.Quiet && !done {
		m.deviate("%s = %d: the record has no line of it", c, status)
	}
}

// deliver sends the cell's request.
func (m *matrix) deliver(c cell, headers ...string) answer {
	m.t.Helper()
	return m.request(c, headers...)()
}

// request returns what sends the cell's request, always the same one.
func (m *matrix) request(c cell, headers ...string) func() answer {
	m.n++
	fill := []string{"<n>", strconv.Itoa(m.n), "<hex>", fmt.Sprintf("%08X", m.n)}
	for name, v := range c.ids {
		fill = append(fill, "{"+name+"}", v, "<"+name+">", v)
	}
	r := strings.NewReplacer(fill...)
	path := r.Replace(c.op.path)
	if c.row.Query != "" {
		path += "?" + r.Replace(c.row.Query)
	}
	return func() answer { return m.send(c.caller, c.op.method, path, r.Replace(string(c.row.Body)), headers...) }
}

// send sends a request as the caller.
func (b *bench) send(c *caller, method, path, body string, headers ...string) answer {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, "http://localhost:8080"+path, strings.NewReader(body))
	n := b.requests.Add(1) // each from another network: what is limited by networks is not tried here
	r.RemoteAddr = netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String() + ":1"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for all := slices.Concat(c.headers, headers); len(all) > 1; all = all[2:] {
		r.Header.Set(all[0], all[1])
	}
	rec := httptest.NewRecorder()
	b.h.ServeHTTP(rec, r)
	return answer{status: rec.Code, header: rec.Header(), text: rec.Body.String()}
}

// outline is an answer, status, headers and body, without what differs each time.
func outline(a answer) string {
	var out strings.Builder
	out.WriteString(strconv.Itoa(a.status) + "\n")
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		if name != "X-Request-Id" {
			out.WriteString(name + ": " + strings.Join(a.header[name], ", ") + "\n")
		}
	}
	out.WriteString(withoutID(a.text))
	return out.String()
}
