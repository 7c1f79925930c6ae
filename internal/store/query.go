package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/keyhold/keyhold/internal/base/id"
	"github.com/keyhold/keyhold/internal/base/page"
	"github.com/keyhold/keyhold/internal/room/apikey"
	"github.com/keyhold/keyhold/internal/room/digitalkey"
	"github.com/keyhold/keyhold/internal/room/directory"
	"github.com/keyhold/keyhold/internal/room/securitykey"
)

// listQuery joins constant fragments into the query of a filtered, sorted and
// keyset-paged list. It is the one place where SQL is put together; values are
// always arguments.
type listQuery struct {
	from  string // constant: "directory_user u"
	where []string
	args  []any
}

// arg adds a value and returns its placeholder.
func (q *listQuery) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// filter adds a condition whose one ? stands for the value. The fragment is a
// constant.
func (q *listQuery) filter(fragment string, v any) {
	q.where = append(q.where, strings.Replace(fragment, "?", q.arg(v), 1))
}

// word adds the condition that a row has a term that begins with the word. id is
// the column of the row's id, kind the terms' kind; both are constants.
func (q *listQuery) word(workspace any, kind, id, word string) {
	q.where = append(q.where, fmt.Sprintf(
		"EXISTS (SELECT 1 FROM term x WHERE x.workspace = %s AND x.kind = '%s' AND x.id = %s AND x.term >= %s AND x.term < %s)",
		q.arg(workspace), kind, id, q.arg(word), q.arg(word+"\U0010ffff")))
}

// rareWord is word for one of which few terms are: the rows are found by it, then
// sorted, instead of walked in their order until a page is full.
func (q *listQuery) rareWord(workspace any, kind, id, word string) {
	q.startFrom(fmt.Sprintf(
		"SELECT DISTINCT x.id FROM term x WHERE x.workspace = %s AND x.kind = '%s' AND x.term >= %s AND x.term < %s",
		q.arg(workspace), kind, q.arg(word), q.arg(word+"\U0010ffff")), id)
}

// startFrom makes the list begin with a set of ids, to be sorted afterwards. SQLite
// keeps the order of a CROSS JOIN, whatever an index on the sort's column promises;
// PostgreSQL decides by what it knows of the tables. id is the column of the list's
// ids; it and the set, which selects id, are constants but for placeholders.
func (q *listQuery) startFrom(set, id string) {
	q.from = "(" + set + ") AS few CROSS JOIN " + q.from
	q.where = append(q.where, id+" = few.id")
}

// userFilters adds a list's conditions on status and group. The list starts from
// one of them if few users fulfil it, unless driven says that it starts from
// something else. NOT (a <> b) keeps SQLite from an index that leaves too many.
func (q *listQuery) userFilters(workspace any, in directory.Query, f userFilters, driven bool) {
	byName := in.Page.Sort == "" || in.Page.Sort == directory.SortName
	switch {
	case f.group == "":
	case f.rareGroup && !driven:
		driven = true
		q.startFrom(fmt.Sprintf("SELECT m.user_id AS id FROM directory_membership m WHERE m.workspace = %s AND m.group_id = %s", q.arg(workspace), q.arg(f.group)), "u.id")
	default:
		q.where = append(q.where, fmt.Sprintf(
			"EXISTS (SELECT 1 FROM directory_membership m WHERE m.workspace = %s AND m.group_id = %s AND m.user_id = u.id)", q.arg(workspace), q.arg(f.group)))
	}
	switch {
	case !in.WithoutKey:
	case f.rareKeyless && !driven:
		driven = true
		q.startFrom(fmt.Sprintf("SELECT s.id FROM directory_user s WHERE s.workspace = %s AND s.security_keys = 0", q.arg(workspace)), "u.id")
	default:
		q.where = append(q.where, "u.security_keys = 0")
	}
	switch {
	case in.Status == "":
	case byName && !driven:
		q.filter("u.shown = ?", string(in.Status)) // the index has this order too
	case f.rareShown && !driven:
		q.startFrom(fmt.Sprintf("SELECT s.id FROM directory_user s WHERE s.workspace = %s AND s.shown = %s", q.arg(workspace), q.arg(string(in.Status))), "u.id")
	default:
		q.filter("NOT (u.shown <> ?)", string(in.Status))
	}
}

// apikeyFilters adds a list's conditions on API keys k and their last uses s.
func (q *listQuery) apikeyFilters(in apikey.Query) {
	if in.Begins != "" {
		fold := directory.Fold(in.Begins)
		q.where = append(q.where, fmt.Sprintf("(k.name_fold >= %s AND k.name_fold < %s OR k.token_id = %s)",
			q.arg(fold), q.arg(fold+"\U0010ffff"), q.arg(in.Begins)))
	}
	if in.Type != "" {
		q.filter("k.type = ?", string(in.Type))
	}
	switch in.Status {
	case apikey.Active:
		q.filter("k.disabled_at = 0 AND k.ends_at > ?", millis(in.Now))
	case apikey.Expired:
		q.filter("k.disabled_at = 0 AND k.ends_at <= ?", millis(in.Now))
	case apikey.Disabled:
		q.where = append(q.where, "k.disabled_at > 0")
	}
	if !in.ExpiresBefore.IsZero() {
		q.filter("k.ends_at < ?", millis(in.ExpiresBefore))
	}
	if !in.UnusedSince.IsZero() {
		q.filter("COALESCE(s.at, 0) < ?", millis(in.UnusedSince))
	}
	if in.NeverUsed {
		q.where = append(q.where, "COALESCE(s.at, 0) = 0")
	}
	if in.CreatorLeft {
		q.where = append(q.where, `k.creator_user <> '' AND NOT EXISTS (
			SELECT 1 FROM signin_administrator a JOIN directory_user u ON u.workspace = a.workspace AND u.id = a.user_id
			WHERE a.workspace = k.workspace AND a.user_id = k.creator_user AND u.suspended_at = 0)`)
	}
	if in.CreatedBy != "" {
		q.filter("k.created_by_id = ?", in.CreatedBy)
	}
}

// securityKeyFilters adds a list's conditions on security keys k. The list starts from
// one of them if few keys fulfil it, unless driven says that it starts from something
// else. NOT (a <> b) keeps SQLite from an index that leaves too many.
func (q *listQuery) securityKeyFilters(workspace any, in securitykey.Query, rareShown, rareKind, driven bool) {
	from := func(set string, args ...any) {
		if driven = true; len(args) == 0 {
			q.startFrom(fmt.Sprintf(set, q.arg(workspace)), "k.id")
			return
		}
		q.startFrom(fmt.Sprintf(set, q.arg(workspace), q.arg(args[0])), "k.id")
	}
	if in.CardDigest != "" && !driven {
		from("SELECT s.id FROM securitykey s WHERE s.workspace = %s AND s.card_digest = %s AND s.card_digest <> ''", in.CardDigest)
	} else if in.CardDigest != "" {
		q.filter("NOT (k.card_digest <> ?)", in.CardDigest)
	}
	if in.User != "" && !driven {
		from("SELECT s.id FROM securitykey s WHERE s.workspace = %s AND s.user_id = %s", in.User)
	} else if in.User != "" {
		q.filter("NOT (k.user_id <> ?)", in.User)
	}
	if in.ToConfirm && !driven {
		from("SELECT s.id FROM securitykey s WHERE s.workspace = %s AND s.to_confirm = TRUE")
	} else if in.ToConfirm {
		q.where = append(q.where, "k.to_confirm = TRUE")
	}
	byName := in.Page.Sort == "" || in.Page.Sort == securitykey.SortName
	switch {
	case in.Status == "":
	case byName && !driven && !rareKind:
		q.filter("k.shown = ?", string(in.Status)) // the index has this order too
	case (rareShown || rareKind) && !driven:
		from("SELECT s.id FROM securitykey s WHERE s.workspace = %s AND s.shown = %s", string(in.Status))
	default:
		q.filter("NOT (k.shown <> ?)", string(in.Status))
	}
	if in.Kind != "" {
		q.filter("k.kind = ?", string(in.Kind))
	}
	if !in.UnusedSince.IsZero() {
		q.filter("k.used_at < ?", millis(in.UnusedSince))
	}
}

// digitalKeyFilters adds a list's conditions on digital keys k. The list starts from the
// user's or the lock's keys, if that is asked for and driven does not say that it starts
// from something else.
func (q *listQuery) digitalKeyFilters(workspace any, in digitalkey.Query, driven bool) {
	switch {
	case in.User == "":
	case driven:
		q.filter("NOT (k.user_id <> ?)", in.User)
	default:
		driven = true
		q.startFrom(fmt.Sprintf("SELECT s.id FROM digitalkey s WHERE s.workspace = %s AND s.user_id = %s", q.arg(workspace), q.arg(in.User)), "k.id")
	}
	switch {
	case in.Lock == "":
	case driven:
		q.where = append(q.where, fmt.Sprintf(
			"EXISTS (SELECT 1 FROM digitalkey_lock x WHERE x.workspace = %s AND x.lock_id = %s AND x.key_id = k.id)", q.arg(workspace), q.arg(in.Lock)))
	default:
		q.startFrom(fmt.Sprintf("SELECT x.key_id AS id FROM digitalkey_lock x WHERE x.workspace = %s AND x.lock_id = %s", q.arg(workspace), q.arg(in.Lock)), "k.id")
	}
	switch in.Status {
	case digitalkey.Upcoming:
		q.filter("k.cancelled_at = 0 AND k.starts_at > ?", millis(in.Now))
	case digitalkey.Active:
		q.filter("k.cancelled_at = 0 AND k.starts_at <= ?", millis(in.Now))
		q.filter("k.expires_at > ?", millis(in.Now))
	case digitalkey.Expired:
		q.filter("k.cancelled_at = 0 AND k.expires_at <= ?", millis(in.Now))
	case digitalkey.Cancelled:
		q.where = append(q.where, "k.cancelled_at <> 0")
	}
	if in.Type != "" {
		q.filter("' ' || k.types || ' ' LIKE ?", "% "+string(in.Type)+" %")
	}
	if in.Survivors {
		q.filter("k.survives = TRUE AND k.cancelled_at = 0 AND k.expires_at > ?", millis(in.Now))
	}
}

// selectKeyLocks returns the query for the locks of n digital keys, and whether a change of
// the key waits there: workspace is $1, the keys follow.
func selectKeyLocks(n int) string {
	places := make([]string, n)
	for i := range places {
		places[i] = "$" + strconv.Itoa(2+i)
	}
	return "SELECT x.key_id, l.id, l.name, l.timezone, COALESCE(g.applied_at = 0, FALSE) FROM digitalkey_lock x" +
		" JOIN smartlock l ON l.workspace = x.workspace AND l.id = x.lock_id" +
		" LEFT JOIN smartlock_grant g ON g.workspace = x.workspace AND g.lock_id = x.lock_id AND g.grant_id = x.key_id" +
		" WHERE x.workspace = $1 AND x.key_id IN (" + strings.Join(places, ", ") + ") ORDER BY x.key_id, l.name_fold, l.id"
}

// upsertUses returns the statement that writes n keys' last uses: key, workspace,
// moment, address and agent of each.
func upsertUses(n int) string {
	return "INSERT INTO apikey_use (key_id, workspace, at, ip, agent) VALUES " + rowsOf(n, 5) +
		" ON CONFLICT (key_id) DO UPDATE SET at = excluded.at, ip = excluded.ip, agent = excluded.agent WHERE excluded.at >= apikey_use.at"
}

// upsertUsage returns the statement that adds to n keys' days: workspace, key, day
// and number of each.
func upsertUsage(n int) string {
	return "INSERT INTO apikey_usage (workspace, key_id, day, n) VALUES " + rowsOf(n, 4) +
		" ON CONFLICT (workspace, key_id, day) DO UPDATE SET n = apikey_usage.n + excluded.n"
}

// rowsOf returns the placeholders of n rows of so many columns.
func rowsOf(n, columns int) string {
	var b strings.Builder
	for i := range n {
		for j := range columns {
			switch {
			case j > 0:
				b.WriteString(", $")
			case i > 0:
				b.WriteString("), ($")
			default:
				b.WriteString("($")
			}
			b.WriteString(strconv.Itoa(i*columns + j + 1))
		}
	}
	b.WriteString(")")
	return b.String()
}

// insertTerms returns the statement that writes n terms of one row: workspace, kind
// and id are $1 to $3, the terms follow.
func insertTerms(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = "($1, $2, $3, $" + strconv.Itoa(4+i) + ")"
	}
	return "INSERT INTO term (workspace, kind, id, term) VALUES " + strings.Join(rows, ", ")
}

// numbered adds the condition that a row has one of the numbers (see term_doc).
func (q *listQuery) numbered(workspace any, kind, id string, docs []int64) {
	places := make([]string, len(docs))
	w := q.arg(workspace)
	for i, doc := range docs {
		places[i] = q.arg(doc)
	}
	q.startFrom(fmt.Sprintf(
		"SELECT d.id FROM term_doc d WHERE d.workspace = %s AND d.kind = '%s' AND d.doc IN (%s)",
		w, kind, strings.Join(places, ", ")), id)
}

// selectPostings returns the query for one piece of n terms' postings: workspace,
// kind and piece are $1 to $3, the terms follow.
func selectPostings(n int) string {
	places := make([]string, n)
	for i := range places {
		places[i] = "$" + strconv.Itoa(4+i)
	}
	return "SELECT term, docs FROM posting WHERE workspace = $1 AND kind = $2 AND piece = $3 AND term IN (" + strings.Join(places, ", ") + ")"
}

// upsertPostings returns the statement that writes one piece of n terms' postings:
// workspace, kind and piece are $1 to $3, terms and numbers follow in pairs.
func upsertPostings(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = "($1, $2, $3, $" + strconv.Itoa(4+2*i) + ", $" + strconv.Itoa(5+2*i) + ")"
	}
	return "INSERT INTO posting (workspace, kind, piece, term, docs) VALUES " + strings.Join(rows, ", ") +
		" ON CONFLICT (workspace, kind, term, piece) DO UPDATE SET docs = excluded.docs"
}

// search adds the conditions that a row has all the words, in the way that costs
// the least: one rare word finds the rows; of frequent ones the postings say where
// they meet; else the rows are walked in their order and asked. possible is false if
// no row can be found, narrowed is true if few are found before they are sorted.
func (q *listQuery) search(ctx context.Context, t *Tx, workspace id.Workspace, kind, column string, words []string) (possible, narrowed bool, err error) {
	words, rare, err := t.rarestFirst(ctx, workspace, kind, words)
	if err != nil || len(words) == 0 {
		return true, false, err
	}
	if rare {
		q.rareWord(workspace, kind, column, words[0])
		words = words[1:]
	} else {
		docs, few, err := t.whereWordsMeet(ctx, workspace, kind, words)
		if err != nil || few && len(docs) == 0 {
			return false, false, err
		}
		if few {
			q.numbered(workspace, kind, column, docs)
		}
		narrowed = few
	}
	for _, word := range words {
		q.word(workspace, kind, column, word)
	}
	return true, rare || narrowed, nil
}

// ordering is one way to sort a list: a column and whether it holds numbers.
type ordering struct {
	column string
	number bool
}

// after adds the condition that rows come after the position in the order.
func (q *listQuery) after(o ordering, id string, r page.Request) error {
	if r.After.IsZero() {
		return nil
	}
	var v any = r.After.Value
	if o.number {
		n, err := strconv.ParseInt(r.After.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("reading a position that we signed: %w", err)
		}
		v = n
	}
	than := ">"
	if r.Descending {
		than = "<"
	}
	q.where = append(q.where, fmt.Sprintf("(%s, %s) %s (%s, %s)", o.column, id, than, q.arg(v), q.arg(r.After.ID)))
	return nil
}

// sql returns the query for one row more than the page holds, so that it is known
// whether another page follows.
func (q *listQuery) sql(columns string, o ordering, id string, r page.Request) string {
	direction := " ASC"
	if r.Descending {
		direction = " DESC"
	}
	return "SELECT " + columns + " FROM " + q.from + " WHERE " + strings.Join(q.where, " AND ") +
		" ORDER BY " + o.column + direction + ", " + id + direction + " LIMIT " + strconv.Itoa(r.Limit+1)
}

// count returns the query that counts all rows of the list.
func (q *listQuery) count() string {
	return "SELECT COUNT(*) FROM " + q.from + " WHERE " + strings.Join(q.where, " AND ")
}

// list runs the query and cuts the page; position gives a row's place in the order.
func list[T any](ctx context.Context, t *Tx, q *listQuery, columns string, o ordering, id string, r page.Request,
	scan func(scanner) (T, error), position func(T) page.Position,
) (page.Page[T], error) {
	out := page.Page[T]{Total: -1}
	if r.WithTotal {
		n, err := t.number(ctx, q.count(), q.args...)
		if err != nil {
			return out, err
		}
		out.Total = int(n)
	}
	if err := q.after(o, id, r); err != nil {
		return out, err
	}
	rows, err := collect(ctx, t, scan, q.sql(columns, o, id, r), q.args...)
	if err != nil {
		return out, err
	}
	if len(rows) > r.Limit {
		rows = rows[:r.Limit]
		out.Next = position(rows[r.Limit-1])
	}
	out.Items = rows
	return out, nil
}
