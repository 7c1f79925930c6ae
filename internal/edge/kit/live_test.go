package kit

import (
	"testing"

	"github.com/keyhold/keyhold/internal/base/id"
)

func TestStreams_areBoundedForEachSession(t *testing.T) {
	k := &Kit{streams: map[id.Session]int{}}
	for range maxStreams {
		if !k.enterStream("ses_1") {
			t.Fatal("a stream was refused, want as many as there may be")
		}
	}
	if k.enterStream("ses_1") {
		t.Error("one stream more was let in")
	}
	if !k.enterStream("ses_2") {
		t.Error("another session's stream was refused")
	}
	k.leaveStream("ses_1")
	if !k.enterStream("ses_1") {
		t.Error("a stream was refused after another had ended")
	}
	k.leaveStream("ses_2")
	if _, known := k.streams["ses_2"]; known {
		t.Error("a session without streams is remembered")
	}
}
