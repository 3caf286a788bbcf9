package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"larder/builds"
	"larder/httpapi/auth"
	"larder/store"
)

func TestPreferredWait(t *testing.T) {
	for _, tt := range []struct {
		prefer []string
		want   time.Duration
	}{
		{nil, 0},
		{[]string{"wait=5"}, 5 * time.Second},
		{[]string{`respond-async, Wait="7"; x=1`}, 7 * time.Second},
		{[]string{"return=minimal", "wait = 9"}, 9 * time.Second},
		{[]string{"wait=100000"}, 300 * time.Second},
		{[]string{"wait=99999999999999999999"}, 300 * time.Second},
		{[]string{"wait=-1"}, 0},
		{[]string{"wait=-99999999999999999999"}, 0},
		{[]string{"wait=soon"}, 0},
	} {
		if got := preferredWait(http.Header{"Prefer": tt.prefer}); got != tt.want {
			t.Errorf("Prefer %q: %s, want %s", tt.prefer, got, tt.want)
		}
	}
}

// TestBadBuildBody: who sends something else is told what it is, in the words of JSON.
func TestBadBuildBody(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                   `it must not be a JSON array; send an object like {"expect": `,
		`"x"`:                  "it must not be a JSON string",
		`{"progress": "half"}`: "progress must not be a JSON string",
		`{"waiter": 5}`:        "waiter must not be a JSON number",
		`{"expect": 1e999}`:    "expect must not be a JSON number 1e999",
		`{`:                    "it is no JSON (unexpected end of JSON input)",
	} {
		c := &call{Request: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)), w: &recorder{ResponseWriter: httptest.NewRecorder()}}
		if _, err := readBuild(c); !errors.Is(err, errBody) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// Why nobody may build is the problem that a read would have.
func TestWhyNobodyMayBuild(t *testing.T) {
	for kind, want := range map[builds.Kind]error{
		builds.Troubled: store.ErrUnavailable, builds.Barred: store.ErrUnexpected, builds.Refused: auth.ErrRole,
		builds.Lost: builds.ErrLost, builds.Failed: errBuildFailed, builds.Unstored: errBuildUnstored,
	} {
		if err := refusedBuild(builds.State{Verdict: builds.Verdict{Kind: kind}}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", kind, err, want)
		}
	}
}

// FuzzBuildBody: whatever is sent about a build, what is taken is within bounds, and all else is told what is wrong.
func FuzzBuildBody(f *testing.F) {
	f.Add(`{"expect": 60, "max_age": 0, "progress": 1, "retry": true, "waiter": "w", "message": "m", "error": "e", "unstored": "u", "since": "s"}`)
	f.Add(`{"progress": -1e-400, "expect": 1e308}`)
	f.Add(`{"expect": "60"}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, body string) {
		c := &call{Request: httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body)), w: &recorder{ResponseWriter: httptest.NewRecorder()}}
		b, err := readBuild(c)
		if err != nil {
			if !errors.Is(err, errBody) || len(err.Error()) > 2*maxNote {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		bounded := len(b.Error) <= maxNote && len(b.Unstored) <= maxNote && len(b.Message) <= maxNote && len(b.Waiter) <= maxNote
		if !bounded || b.Expect < 0 || b.MaxAge != nil && *b.MaxAge < 0 || b.Progress != nil && (*b.Progress < 0 || *b.Progress > 1) {
			t.Errorf("%q is taken as %+v", body, b)
		}
	})
}

func TestReadBuild(t *testing.T) {
	long := strings.Repeat("x", maxNote+1)
	for _, tt := range []struct {
		body string
		bad  bool
	}{
		{"", false},
		{" \n", false},
		{`{"expect": 60, "max_age": 0, "progress": 1, "retry": true}`, false},
		{`{"max_age": null, "expect": null}`, false},
		{`{"error": "` + long + `"}`, false}, // it is cut
		{`{"message": "` + long + `"}`, true},
		{`{"waiter": "` + long + `"}`, true},
		{`{"max_age": -1}`, true},
		{`{"expect": -1}`, true},
		{`{"progress": 1.1}`, true},
		{`[]`, true},
		{`expect=60`, true},
		{strings.Repeat(" ", maxBuildBody+1), true},
	} {
		c := &call{Request: httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body)), w: &recorder{ResponseWriter: httptest.NewRecorder()}}
		got, err := readBuild(c)
		if tt.bad != errors.Is(err, errBody) || len(got.Error) > maxNote {
			t.Errorf("%.40q: %+v %v", tt.body, got, err)
		}
	}
}
