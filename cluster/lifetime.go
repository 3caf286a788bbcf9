package cluster

import "context"

// lifetime is the time for which something is there; contexts can be bound to
// it.
type lifetime struct {
	// bind returns a context that ends with ctx or with the lifetime, then with
	// the lifetime's cause. The function releases what that holds.
	bind func(ctx context.Context) (context.Context, func())
	// end ends the lifetime; the first cause counts.
	end func(cause error)
}

func newLifetime() lifetime {
	life, end := context.WithCancelCause(context.Background())
	bind := func(ctx context.Context) (context.Context, func()) {
		ctx, cancel := context.WithCancelCause(ctx)
		stop := context.AfterFunc(life, func() { cancel(context.Cause(life)) })
		return ctx, func() {
			stop()
			cancel(nil)
		}
	}
	return lifetime{bind: bind, end: end}
}
