package overview

import (
	"slices"
	"time"
)

const (
	// maxDenials are those of an answer, keptDenials those that a node keeps of all orgs.
	maxDenials  = 50
	keptDenials = 500
)

// Denial is a request that was denied to somebody whose credential is good. What it was
// about is in the audit log, and not here.
type Denial struct {
	At   time.Time `json:"at"`
	Org  string    `json:"org"`
	User string    `json:"user"`
	// Op is the operation, Problem the name of what was answered, Request the ID by
	// which the logs have it.
	Op      string `json:"op"`
	Problem string `json:"problem"`
	Request string `json:"request"`
	Node    string `json:"node"`
}

// Denied notes a denial.
func (o *Overview) Denied(d Denial) {
	if o == nil {
		return
	}
	d.Node = o.cluster.Self().Name
	o.mu.Lock()
	defer o.mu.Unlock()
	o.denials = append(o.denials[max(0, len(o.denials)-keptDenials+1):], d)
}

// deniedTo returns the last denials of an org.
func (o *Overview) deniedTo(org string) []Denial {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := []Denial{}
	for _, d := range slices.Backward(o.denials) {
		if d.Org == org && len(all) < maxDenials {
			all = append(all, d)
		}
	}
	return all
}
