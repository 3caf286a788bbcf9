package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/memberlist"

	"larder/test/testcluster"
)

const (
	oldSecret = "the old secret of the tests"
	newSecret = "the new secret of the tests"
)

func TestParseSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one":                {oldSecret, []string{oldSecret}},
		"a line":             {oldSecret + "\n", []string{oldSecret}},
		"a line of Windows":  {oldSecret + "\r\n", []string{oldSecret}},
		"white space around": {" \n\t\v\f\u0085\u00a0" + oldSecret + " \u2003\n\n", []string{oldSecret}},
		"white space in it":  {"a secret\twith\r\vspace", []string{"a secret\twith\r\vspace"}},
		"two":                {oldSecret + "\n" + newSecret, []string{oldSecret, newSecret}},
		"two with space":     {"\r\n " + newSecret + "\r\n\r\n \t\n" + oldSecret + " \r\n", []string{newSecret, oldSecret}},
		"the shortest":       {"0123456789abcdef", []string{"0123456789abcdef"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseSecrets([]byte(c.text))
			if err != nil || !slices.EqualFunc(got, c.want, func(g []byte, w string) bool { return string(g) == w }) {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ text, says string }{
		"nothing":      {"", "no secret"},
		"blank lines":  {" \n\r\n", "no secret"},
		"short":        {"0123456789abcde", "line 1 has 15 bytes"},
		"a short line": {oldSecret + "\n\ntoo short\n", "line 3 has 9 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustSecrets(t, oldSecret)
			before := *s.peers.Load()
			err := s.Take([]byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "short") {
				t.Errorf("error %v, want one that says %q and holds nothing of the file", err, c.says)
			}
			if !slices.EqualFunc(before, *s.peers.Load(), bytes.Equal) || len(s.gossip.GetKeys()) != 1 {
				t.Error("the secrets have changed")
			}
		})
	}
}

// FuzzParseSecrets holds that a file of one line means the secret that it meant
// when a file held one secret: all of it without the white space around.
func FuzzParseSecrets(f *testing.F) {
	for _, text := range []string{oldSecret + "\n", "\xef\xbb\xbf" + oldSecret, "\xff\xfe 0123456789abcdef \u0085", "a\nb"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		whole := []byte(strings.TrimSpace(string(text)))
		got, err := parseSecrets(text)
		if bytes.Contains(whole, []byte("\n")) {
			return
		}
		if (err == nil) != (len(whole) >= minSecret) || err == nil && (len(got) != 1 || !bytes.Equal(got[0], whole)) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	})
}

// rotation is the file with the secrets before, in and after each of the three
// steps.
func rotation() [][]string {
	return [][]string{{oldSecret}, {oldSecret, newSecret}, {newSecret, oldSecret}, {newSecret}}
}

// At every step of a rotation, nodes that have made it and nodes that have not
// meet, and reach each other.
func TestNodesMeetWhileSecretsChange(t *testing.T) {
	steps := rotation()
	for i := range steps[1:] {
		t.Run(fmt.Sprint("step ", i+1), func(t *testing.T) {
			with := func(lines []string) setup {
				return config(func(cfg *Config) { cfg.Secrets = mustSecrets(t, lines...) })
			}
			a := start(t, "a", with(steps[i]), before(serveTestRoutes))
			b := start(t, "b", with(steps[i+1]), before(serveTestRoutes), joining(a))
			agree(t, a, b)
			post(t, a, b.self)
			post(t, b, a.self)
		})
	}
}

// Nodes whose secrets change stay members, and connections that were made
// before stay open.
func TestSecretsChangeUnderNodes(t *testing.T) {
	old := config(func(cfg *Config) { cfg.Secrets = mustSecrets(t, oldSecret) }) // each node has its own
	nodes := startAll(t, 2, old, before(serveTestRoutes))
	for _, file := range rotation()[1:] {
		for _, n := range nodes {
			if err := n.cfg.Secrets.Take([]byte(strings.Join(file, "\n"))); err != nil {
				t.Fatal(err)
			}
			for i := range nodes {
				hangUp(nodes[i], nodes[1-i].self) // so that the next request needs a handshake
				post(t, nodes[i], nodes[1-i].self)
			}
		}
	}
	var said testcluster.Logged
	stranger := start(t, "c", old, joining(nodes[0]), logged(&said))
	await(t, &said, "warn", "cannot join")
	if met, err := stranger.meet(t.Context(), stranger.list); met || err == nil {
		t.Errorf("the old secret gets in: %v", err)
	}
	if err := nodes[1].cfg.Secrets.Take([]byte("a third secret of the tests")); err != nil {
		t.Fatal(err)
	}
	post(t, nodes[0], nodes[1].self) // on the connection that is there
	hangUp(nodes[0], nodes[1].self)
	if err := nodes[0].Fanout(t.Context(), []Member{nodes[1].self}, "ok", "x")[0].Err; !errors.Is(err, ErrUnreachable) {
		t.Errorf("a secret that was removed: %v", err)
	}
}

// The ring holds what it is given, in any order of changes, while others read
// it.
func TestRekey(t *testing.T) {
	key := func(name byte) []byte { return bytes.Repeat([]byte{name}, 32) }
	var ring memberlist.Keyring
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				for _, k := range ring.GetKeys() {
					_ = bytes.Count(k, []byte("a"))
				}
			}
		}
	})
	for range 100 {
		for _, names := range []string{"a", "ab", "ba", "b", "abc", "ac", "cab", "de", "edabc", "bd", "a"} {
			var keys [][]byte
			for i := range names {
				keys = append(keys, key(names[i]))
			}
			if err := rekey(&ring, keys); err != nil {
				t.Fatal(err)
			}
			got := ring.GetKeys()
			if !bytes.Equal(got[0], keys[0]) || len(got) != len(keys) {
				t.Fatalf("%s: %d keys, the first is %c", names, len(got), got[0][0])
			}
			for _, k := range keys {
				if !slices.ContainsFunc(got, func(g []byte) bool { return bytes.Equal(g, k) }) {
					t.Fatalf("%s: %c is not there", names, k[0])
				}
			}
		}
	}
	close(stop)
	reading.Wait()
}

// hangUp closes the connections on which n has asked m.
func hangUp(n node, m Member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rec := n.records[m.ID]
	rec.pool.Retire()
	rec.pool = n.port.Pool(m.ID, m.PeerAddr, false)
}
