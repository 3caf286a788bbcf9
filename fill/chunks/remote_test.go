package chunks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"larder/budget"
	"larder/cluster"
	"larder/store"
)

// An owner without memory for a chunk does not say that the store is unavailable:
// who asked it reads the store itself.
func TestBusyIsNoVerdict(t *testing.T) {
	busy := outOfTime(fmt.Errorf("%w: %w", budget.ErrBusy, context.DeadlineExceeded))
	if !errors.Is(busy, budget.ErrBusy) || errors.Is(busy, store.ErrUnavailable) {
		t.Error(busy)
	}
	if err := peerError(cluster.Member{}, Refusal(busy)); errors.Is(err, ErrOwnerSays) {
		t.Error(err)
	}
	if err := peerError(cluster.Member{}, Refusal(outOfTime(context.DeadlineExceeded))); !errors.Is(err, ErrOwnerSays) || !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}

// An owner's words are not kept at length.
func TestWhatARefusalSaysIsBounded(t *testing.T) {
	long := cluster.Answer{Status: http.StatusBadGateway, Text: make([]byte, 1<<20)}
	if err := peerError(cluster.Member{}, long); len(err.Error()) > 2*maxDetail {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}
