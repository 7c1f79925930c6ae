package securitykey

// step is something that moves a key through its life.
type step string

const (
	actSend     step = "send"     // the activation goes out, again if it went out before
	actActivate step = "activate" // the key begins to work
	actSuspend  step = "suspend"  // the flag is set
	actResume   step = "resume"   // the flag is taken back
)

// standing is where a key is: its life, and the flag beside it.
type standing struct {
	life      Status
	suspended bool
}

// transitions is the closed table of a key's life: what is not in it is refused. The
// flag never touches the life, so that a key comes back as it went.
//
// constant: a table.
var transitions = map[standing]map[step]standing{
	{New, false}:     {actSend: {Pending, false}, actActivate: {Active, false}, actSuspend: {New, true}},
	{New, true}:      {actResume: {New, false}},
	{Pending, false}: {actSend: {Pending, false}, actActivate: {Active, false}, actSuspend: {Pending, true}},
	{Pending, true}:  {actResume: {Pending, false}},
	{Active, false}:  {actSuspend: {Active, true}},
	{Active, true}:   {actResume: {Active, false}},
}

// after returns where an act leads; ok is false if the key's life does not allow it.
func (s standing) after(a step) (next standing, ok bool) {
	next, ok = transitions[s][a]
	return next, ok
}
