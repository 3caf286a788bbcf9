package model

import (
	"fmt"
	"strconv"
	"strings"
)

// event is a step from one state to the next.
type event struct {
	kind  kind
	n, m  Node  // who takes it, and with or about whom
	v     uint8 // the version that it is about
	lease bool  // of two ways in which it can end, the first of its template
}

type kind uint8

const (
	evJoin kind = iota
	evAskS3
	evAskS3Instead
	evAskOwner
	evArrive
	evBegin
	evRevoke
	evGiveUp
	evUpload
	evApply
	evApplyLate
	evMarkOver
	evUnknown
	evPublish
	evPause
	evResume
	evCrash
	evForget
	evLeave
	evHearLeft
	evHearDead
	evHearJoin
	evTakeIn
	evAskToSettle
	evSettled
	evTick
	evTickMissed
)

// String tells the step as a sentence. In the templates, n, m and v stand in
// braces; of [this|that] the first is told if lease is set, else the second.
func (e event) String() string {
	template := [...]string{
		evJoin:         "{n}: a reader joins the lookup under way, whose answer v{v} has not arrived",
		evAskS3:        "{n}: a reader starts a lookup; S3 answers v{v}, which is on its way",
		evAskS3Instead: "{n}: a reader starts a lookup; {m} gives no answer; S3 answers v{v}, which is on its way",
		evAskOwner:     "{n}: a reader starts a lookup; {m} answers v{v} [with|without] a lease, which is on its way",
		evArrive:       "{n}: the answer v{v} arrives[ and is kept|]",
		evBegin:        "{n}: begins a write",
		evRevoke:       "{m}: drops its head for {n} and acknowledges[; its own write gives way|]",
		evGiveUp:       "{n}: gives up its write, nothing was uploaded",
		evUpload:       "{n}: sends the upload[, without the acknowledgement of all|]",
		evApply:        "S3: applies the upload of {n}: it holds v{v} now",
		evApplyLate:    "S3: applies the upload that {n} gave up: it holds v{v} now",
		evMarkOver:     "{n}: the time for which an upload that was given up may still happen is over",
		evUnknown:      "{n}: gives up on S3's answer, the outcome of its write is unknown",
		evPublish:      "{n}: acknowledges the write of v{v}[ and trusts it as its head|]",
		evPause:        "{n}: is paused",
		evResume:       "{n}: goes on",
		evCrash:        "{n}: dies",
		evForget:       "{n}: is about to leave: keeps no head from now on",
		evLeave:        "{n}: leaves its own ring",
		evHearLeft:     "{n}: hears that {m} has left",
		evHearDead:     "{n}: takes {m} for dead",
		evHearJoin:     "{n}: hears that {m} is there",
		evTakeIn:       "{n}: takes in that its ring has changed",
		evAskToSettle:  "{n}: asks {m} to settle",
		evSettled:      "{n}: has settled with {m}",
		evTick:         "a tick passes",
		evTickMissed:   "a tick passes, which the clock of {n} misses",
	}[e.kind]
	if before, rest, ok := strings.Cut(template, "["); ok {
		choice, after, _ := strings.Cut(rest, "]")
		first, second, _ := strings.Cut(choice, "|")
		if !e.lease {
			first = second
		}
		template = before + first + after
	}
	return strings.NewReplacer("{n}", e.n.String(), "{m}", e.m.String(), "{v}", strconv.Itoa(int(e.v))).Replace(template)
}

// verdict says what a reader sees that it must not.
func verdict(s *state, n Node, told, floor uint8, by string) string {
	promise := fmt.Sprintf("S3 held v%d, and another reader may have seen it: promise (b)", floor)
	if told < s.acked {
		promise = fmt.Sprintf("v%d was acknowledged: promise (a)", s.acked)
	}
	return fmt.Sprintf("%s: a reader is told v%d by %s, though when it asked %s", n, told, by, promise)
}
