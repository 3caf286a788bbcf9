//go:build s3suite

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// limitedUser is the user who may only what a policy says. LARDER_S3_ADMIN is a command
// that gives the policy in its standard input to that user, as "policy user".
var limitedUser = []string{"AWS_ACCESS_KEY_ID=limited", "AWS_SECRET_ACCESS_KEY=limited-on-loopback"}

func asLimited(notReady bool) testcluster.Options {
	return testcluster.Options{Env: limitedUser, Flags: []string{"--s3-prefix", "team"}, NotReady: notReady}
}

// policy is one of IAM.
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Action    actions
	Resource  string
	Condition any `json:",omitempty"`
}

// actions are one or several in JSON.
type actions []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *actions) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("[")) {
		return json.Unmarshal(b, (*[]string)(a))
	}
	*a = make(actions, 1)
	return json.Unmarshal(b, &(*a)[0])
}

// documentedPolicy is the policy of docs/s3.md for the bucket "larder", without one action,
// and without what concerns another service than S3.
func documentedPolicy(t *testing.T, without string) policy {
	t.Helper()
	_, text, _ := strings.Cut(readDoc(t, "docs/s3.md"), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	var p policy
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, ":::our-larder", ":::larder")), &p); err != nil {
		t.Fatal(err)
	}
	for i := range p.Statement {
		p.Statement[i].Action = slices.DeleteFunc(p.Statement[i].Action, func(a string) bool {
			return a == without || !strings.HasPrefix(a, "s3:")
		})
	}
	p.Statement = slices.DeleteFunc(p.Statement, func(s statement) bool { return len(s.Action) == 0 })
	return p
}

func (p policy) give(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	run(t, text, nil, "bash", "-c", os.Getenv("LARDER_S3_ADMIN")+" policy user")
}

// TestPolicy wants a node with the policy of the documentation to be refused nothing in
// its life, and one without any of its actions to say which.
func TestPolicy(t *testing.T) {
	t.Run("whole", func(t *testing.T) {
		documentedPolicy(t, "").give(t)
		c := onServer(t, asLimited(false))
		newLife(t, c).all()
		for _, n := range c.Nodes {
			for line := range strings.Lines(n.Log()) {
				if strings.Contains(line, `"op":"delete_many"`) { // Ceph wants more for it, so that objects are removed one by one
					continue
				}
				if strings.Contains(line, `"grant"`) || strings.Contains(line, "lack the permission") {
					t.Errorf("%s: %s", n.Name, line)
				}
			}
		}
	})
	var all []string
	for _, s := range documentedPolicy(t, "").Statement {
		all = append(all, s.Action...)
	}
	for _, action := range all {
		t.Run(action, func(t *testing.T) {
			documentedPolicy(t, action).give(t)
			wantNamed(t, action)
		})
	}
}

// wantNamed wants a node whose user lacks an action to name it, in its log and, where
// it is not ready, as the reason.
func wantNamed(t *testing.T, action string) {
	c := onServer(t, asLimited(true))
	n := c.Nodes[0]
	l := newLife(t, c)
	body := noise(1, 11<<20)
	var statuses []int
	missing := ""
	for range 3 { // a note of each kind is in the log once in ten seconds
		statuses, missing = nil, n.Missing()
		for _, a := range []answer{
			do(t, "PUT", l.object(0, "small"), []byte("small")),
			do(t, "GET", l.object(0, "small"), nil, "Cache-Control", "no-cache"),
			do(t, "PUT", l.object(0, "large"), body, "Repr-Digest", digestOf([]byte("other"))), // which is aborted
			do(t, "DELETE", l.object(0, "small"), nil),
		} {
			statuses = append(statuses, a.status)
		}
		for line := range strings.Lines(n.Log() + missing) {
			if strings.Contains(line, action) && !strings.Contains(line, "audit") {
				t.Logf("answers %v; not ready: %q; %s", statuses, missing, line)
				return
			}
		}
	}
	if missing != "" || !slices.Equal(statuses, []int{201, 200, 400, 204}) {
		t.Fatalf("answers %v, not ready: %q, and the log does not say so", statuses, missing)
	}
	t.Log("this server does not refuse anything without it")
}
