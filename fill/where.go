package fill

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"larder/cluster"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

const (
	whereRoute = "fill/where"
	whereLimit = 3 * time.Second
	// maxWhere is how many chunks of an object, the first, each node looks for.
	maxWhere = 1024
	// maxWhereText bounds a question, in bytes.
	maxWhereText = 64 << 10
)

// Where is what one node has of an object: so many of its first chunks.
type Where struct {
	Node string `json:"node,omitempty"`
	// Owner marks the owner of the key, which has the first chunk if any node has it.
	Owner bool `json:"owner"`
	// Answers is false if the node gave no answer.
	Answers bool `json:"answers"`
	chunks.Kept
}

// whereAsked is a question about one version of a key.
type whereAsked struct {
	Place   string
	Version keys.Version
	Size    int64
}

// Where asks the members, of which one is this node, what they have of an object in memory
// and on disk, and returns how many chunks they looked for. It reads nothing, and changes
// nothing in what nodes keep.
func (f *Filler) Where(ctx context.Context, self string, members []cluster.Member, k keys.Key, h store.Head) (of int, all []Where, err error) {
	body, err := json.Marshal(whereAsked{Place: k.Place(), Version: chunks.VersionOf(h), Size: h.Size})
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, whereLimit)
	defer cancel()
	owner := f.ownerOf(k)
	all = make([]Where, len(members))
	var asking sync.WaitGroup
	for i, m := range members {
		asking.Go(func() {
			at := &all[i]
			at.Node, at.Owner = m.Name, m.ID == owner.ID
			if m.ID == self {
				at.Answers, at.Kept = true, f.chunks.Kept(k, chunks.VersionOf(h), h.Size, maxWhere)
				return
			}
			a, err := f.chunks.Ask(ctx, m, cluster.Question{Route: whereRoute, Body: body, Room: maxWhereText})
			at.Answers = err == nil && json.Unmarshal(a.Body, &at.Kept) == nil
		})
	}
	asking.Wait()
	slices.SortFunc(all, func(x, y Where) int { return strings.Compare(x.Node, y.Node) })
	return f.chunks.Count(h.Size, maxWhere), all, nil
}

// handleWhere answers a peer that asks what this node has of an object.
func (f *Filler) handleWhere(_ context.Context, asked cluster.Asked) cluster.Answer {
	var q whereAsked
	body, err := asked.ReadBody(maxWhereText)
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		return chunks.Refusal(err)
	}
	k, err := keys.FromPlace(q.Place)
	if err != nil {
		return chunks.Refusal(err)
	}
	text, err := json.Marshal(f.chunks.Kept(k, q.Version, q.Size, maxWhere))
	if err != nil {
		return chunks.Refusal(err)
	}
	return cluster.Answer{Status: http.StatusOK, Body: text}
}
