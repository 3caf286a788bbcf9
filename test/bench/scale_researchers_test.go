package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"larder/httpapi/auth"
	"larder/test/testcluster"
)

// bank is a cluster that some researchers write to.
type bank struct {
	*testcluster.Cluster
	*meter
	of          costs
	researchers int
	n           int
}

// The costs.
const (
	bankPut  = "PUT of 1 KiB, 20 a second, all nodes together"
	bankTold = "the same, written by all nodes"
	lineCost = "GET /v1/usage, for each line of the ledger, all nodes together"

	namesRead = 10 // by each researcher
)

// researchersScale is what it costs that nodes tell each other what each researcher has: by
// researchers who write, and by nodes.
func researchersScale(b *testing.B, s *bench) {
	few, many := 10, 1000
	var cases []costs
	var sides []func() float64
	for _, size := range []struct{ nodes, researchers int }{{3, few}, {3, many}, {12, few}, {12, many}} {
		k := openBank(b, size.nodes, size.researchers)
		cases, sides = append(cases, k.of), append(sides, k.writes)
	}
	turns(s.rounds, sides...)
	s.grown("Researchers", cases, []unit{{bankPut, "µs"}, {bankTold, "KB"}, {lineCost, "µs"}})
}

// openBank starts nodes that know researchers, each of whom has written to each node.
func openBank(b *testing.B, nodes, researchers int) *bank {
	b.Helper()
	var all []auth.Entry
	for i := range researchers {
		all = append(all, auth.Entry{
			ID: fmt.Sprint(i), Org: "bank", User: fmt.Sprintf("researcher-%04d", i), Role: auth.Writer,
			SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(token(i)))),
		})
	}
	text, err := json.Marshal(all)
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "tokens.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	c := testcluster.New(b, testcluster.Options{Nodes: nodes, Flags: []string{"--tokens-file", file, "--memory", "64MiB", "--log-level", "warn"}})
	k := &bank{Cluster: c, meter: meterOf(b, c), of: costsIn("%d nodes, %d researchers", nodes, researchers), researchers: researchers}
	k.n = 3 * max(researchers, 100)
	parallel(b, 16, k.n, func(i int) error { return k.write(i) })
	for i := range namesRead {
		if err := k.ask(http.MethodPut, k.Nodes[0], fmt.Sprint("read-", i), i); err != nil {
			b.Fatal(err)
		}
	}
	parallel(b, 16, namesRead*researchers, func(i int) error {
		return k.ask(http.MethodGet, k.Nodes[0], fmt.Sprint("read-", i%namesRead), i/namesRead)
	})
	k.rest(idleLasts / 4)
	return k
}

func token(i int) string { return fmt.Sprintf("token-of-a-researcher-%032d", i) }

// write puts an object of the i-th researcher, at the next node.
func (k *bank) write(i int) error {
	return k.ask(http.MethodPut, k.Nodes[i%len(k.Nodes)], laid("bank-", i), i)
}

// ask has a researcher put an object, or ask for something, at a node.
func (k *bank) ask(method string, n *testcluster.Node, name string, researcher int) error {
	req, err := http.NewRequestWithContext(k.b.Context(), method, n.URL()+"/v1/objects/"+name, nil)
	if err != nil {
		return err
	}
	if method == http.MethodPut {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body(1<<10))), 1<<10
		req.Header.Set("Larder-Meta-Build-Seconds", "60")
	}
	req.Header.Set("Authorization", "Bearer "+token(researcher%k.researchers))
	return ask(req, http.StatusCreated, http.StatusOK)
}

// writes has researchers write at an even pace, which leaves the nodes idle most of the time.
func (k *bank) writes() float64 {
	k.b.Helper()
	const puts, pace = 100, 50 * time.Millisecond
	before := used(k.b, k.nodes, written)
	nodes, _, _ := k.spent(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for range puts {
			<-tick.C
			if err := k.write(k.n); err != nil {
				k.b.Fatal(err)
			}
			k.n++
		}
	})
	k.of.note(bankPut, 1e6*nodes/puts)
	k.of.note(bankTold, (used(k.b, k.nodes, written)-before)/puts/1e3)
	nodes, _, _ = k.spent(func() {
		if err := k.ask(http.MethodGet, k.Nodes[0], "read-0", 0); err != nil { // so that the ledger is read anew
			k.b.Fatal(err)
		}
		k.report()
	})
	k.of.note(lineCost, 1e6*nodes/float64(namesRead*k.researchers))
	return nodes
}

// report asks what the org has and saved.
func (k *bank) report() {
	k.b.Helper()
	req, err := http.NewRequestWithContext(k.b.Context(), http.MethodGet, k.Nodes[0].URL()+"/v1/usage", nil)
	if err != nil {
		k.b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token(0))
	if err := ask(req, http.StatusOK); err != nil {
		k.b.Fatal(err)
	}
}
