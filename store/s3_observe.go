package store

import "context"

// observed is the key of a context for the name of what is asked for in it.
type observed struct{}

// ObservedAs has the requests that are sent within a context observed under this name
// instead of their operations', so that what a node does for itself is told from what
// it does for callers.
func ObservedAs(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, observed{}, name)
}

func observedAs(ctx context.Context, op string) string {
	if name, ok := ctx.Value(observed{}).(string); ok {
		return name
	}
	return op
}
