package budget_test

import (
	"context"
	"errors"
	"fmt"

	"larder/budget"
)

// Memory is taken from the pool of a purpose and given back. A caller that waits in
// vain gets ErrBusy.
func ExamplePool_Take() {
	bodies := budget.NewPool("bodies of writes", 8<<20, 0)
	grant, err := bodies.Take(context.Background(), "acme/ada", 8<<20)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(bodies.Held() >> 20)

	ctx, cancel := context.WithCancel(context.Background())
	cancel() // whoever asks next has left
	_, err = bodies.Take(ctx, "acme/bob", 1<<20)
	fmt.Println(errors.Is(err, budget.ErrBusy))

	grant.Release()
	fmt.Println(bodies.Held())
	// Output:
	// 8
	// true
	// 0
}

// A plan divides the memory of a process; without a size of the tier it takes half.
func ExampleNew() {
	p := budget.New(budget.Sizes{Limit: 8 << 30, Chunk: 8 << 20, Part: 8 << 20})
	fmt.Printf("tier %d MiB, bodies of writes %d MiB, all beside the tier %d MiB\n", p.Tier>>20, p.Bodies>>20, p.Beside()>>20)
	// Output: tier 4096 MiB, bodies of writes 128 MiB, all beside the tier 1936 MiB
}
