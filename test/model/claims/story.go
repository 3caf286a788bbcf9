package claims

import (
	"strconv"
	"strings"
)

// event is a step from one state to the next.
type event struct {
	kind evKind
	n, m Node  // who takes it, and with or about whom
	x    uint8 // the caller
	t    uint8 // the claim
	alt  bool  // of two ways in which it can end, the first of its template
}

type evKind uint8

const (
	evCome evKind = iota
	evAttach
	evPutVia
	evReady
	evGiveUp
	evCut
	evDeath
	evAsk
	evAnswer
	evLost
	evLate
	evNotice
	evStray
	evReport
	evReported
	evEnough
	evLook
	evLookAgain
	evFound
	evKept
	evGrant
	evReply
	evPassOn
	evGone
	evPut
	evDelete
	evMark
	evMarkOther
	evRefuse
	evApply
	evApplyLate
	evUnknown
	evMissed
	evEnd
	evTell
	evPause
	evResume
	evCrash
	evMoved
	evLeave
	evHearLeft
	evHearDead
	evHearJoin
	evAway
	evQuiet
)

func name(x uint8) string {
	return [...]string{"X", "Y", "Z", "another caller"}[x]
}

// String tells the step as a sentence. In the templates, n, m, x and t stand in
// braces; of [this|that] the first is told if alt is set, else the second.
func (e event) String() string {
	template := [...]string{
		evCome:      "{x}: found nothing, and asks {n} for the claim",
		evAttach:    "{x}: attaches at {n}",
		evPutVia:    "{x}: puts its value through {n} instead",
		evReady:     "{x}: has built, and puts its value through {n}",
		evGiveUp:    "{x}: gives its claim up",
		evCut:       "the stream of {x} to {n} breaks",
		evDeath:     "{x}: dies",
		evAsk:       "{m}: hears from {n} who is attached there",
		evAnswer:    "{n}: the answer arrives: [the value is there, or a builder is elsewhere|claim {t} is granted]",
		evLost:      "{n}: the answer is lost, and it asks again",
		evLate:      "{n}: the answer to an earlier question arrives: claim {t} is granted",
		evNotice:    "{n}: sees that {x} is not there any more",
		evStray:     "{m}: an earlier question of {n} arrives",
		evReport:    "{n}: asks {m} who is attached there; the answer is on its way",
		evReported:  "{m}: the answer of {n} arrives",
		evEnough:    "{n}: has waited for 3 s for the members to answer",
		evLook:      "{n}: looks at the key; the answer, [a value|nothing of use], is on its way",
		evLookAgain: "{n}: the look came to nothing",
		evFound:     "{n}: finds the value, and tells all waiters",
		evKept:      "{n}: finds no value; claim {t} is live",
		evGrant:     "{n}: grants claim {t} to {x}",
		evReply:     "{n}: answers {m} that [the builder of claim {t} is elsewhere|claim {t} is granted]",
		evPassOn:    "{n}: nobody speaks for {x}; claim {t} is passed on",
		evGone:      "{n}: takes those for gone for whom {m} spoke[, too early|]",
		evPut:       "another caller puts a value through {n}",
		evDelete:    "another caller deletes the key through {n}",
		evMark:      "{n}: marks the put of {x}, of claim {t}",
		evMarkOther: "{n}: marks the [put|delete] of the other caller",
		evRefuse:    "{n}: {x}'s put of claim {t} [finds its own value|is refused: the claim is lost]",
		evApply:     "S3: [applies|refuses] the write of {n}",
		evApplyLate: "S3: [applies|refuses] the write that was given up",
		evUnknown:   "{n}: gives up on S3's answer, the outcome of the write is unknown",
		evMissed:    "{n}: acknowledges the write; {x} misses that, and puts again",
		evEnd:       "{n}: acknowledges the write",
		evTell:      "{m}: hears from {n} that the key was written",
		evPause:     "{n}: is paused",
		evResume:    "{n}: goes on",
		evCrash:     "{n}: dies",
		evMoved:     "{n}: is about to leave, and ends its streams",
		evLeave:     "{n}: leaves its own ring[, having waited for 3.5 s|]",
		evHearLeft:  "{n}: hears that {m} has left",
		evHearDead:  "{n}: takes {m} for dead",
		evHearJoin:  "{n}: hears that {m} is there",
		evAway:      "{n}: hears from {m} that it was away",
		evQuiet:     "nothing more happens",
	}[e.kind]
	if before, rest, ok := strings.Cut(template, "["); ok {
		choice, after, _ := strings.Cut(rest, "]")
		first, second, _ := strings.Cut(choice, "|")
		if !e.alt {
			first = second
		}
		template = before + first + after
	}
	return strings.NewReplacer("{n}", e.n.String(), "{m}", e.m.String(), "{x}", name(e.x), "{t}", strconv.Itoa(int(e.t))).Replace(template)
}
