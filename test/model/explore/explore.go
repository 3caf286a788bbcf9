// Package explore visits every state that a model can reach, breadth first, and
// tells the shortest way to the first broken promise. The models beside it call it.
package explore

import (
	"fmt"
	"hash/maphash"
)

// Yield takes one possible step: the event, the state after it, and what was
// seen in it that breaks a promise, if anything.
type Yield[S comparable, E fmt.Stringer] func(e E, next S, why string)

// Model is what is explored.
type Model[S comparable, E fmt.Stringer] struct {
	Start S
	// Steps yields everything that can happen next, always in the same order.
	Steps func(s *S, yield Yield[S, E])
	// Broken says which promise is broken in a state, if any.
	Broken func(s *S) string
}

// Result of an exploration.
type Result struct {
	States int
	// Story is the shortest way to a broken promise, one step a line, the last
	// what was seen; nil if no promise was broken.
	Story []string
}

// visit is how a state was reached first: by a step, counted in the order of
// steps, from another.
type visit struct {
	from int32
	step int32
}

// Run visits every state that can be reached. States are told apart by 64 bits of
// hash: that two of ten million share them has a chance of one in three hundred
// thousand.
func (m Model[S, E]) Run() Result {
	seed := maphash.MakeSeed()
	seen := map[uint64]struct{}{maphash.Comparable(seed, m.Start): {}}
	visits := []visit{{from: -1}}
	queue := []S{m.Start} // of the visits from base on
	for base := 0; len(queue) > 0; base++ {
		s := queue[0]
		queue = queue[1:]
		step := int32(0)
		broken := ""
		m.Steps(&s, func(_ E, next S, why string) {
			if broken != "" {
				return
			}
			if h := maphash.Comparable(seed, next); why == "" {
				if _, ok := seen[h]; ok {
					step++
					return
				}
				seen[h] = struct{}{}
				why = m.Broken(&next)
			}
			visits = append(visits, visit{from: int32(base), step: step})
			queue = append(queue, next)
			broken = why
			step++
		})
		if broken != "" {
			return Result{States: len(visits), Story: append(m.story(visits), broken)}
		}
	}
	return Result{States: len(visits)}
}

// story tells the steps to the last visit.
func (m Model[S, E]) story(visits []visit) []string {
	var path []int32
	for i := int32(len(visits) - 1); visits[i].from >= 0; i = visits[i].from {
		path = append(path, visits[i].step)
	}
	var told []string
	s := m.Start
	for i := len(path) - 1; i >= 0; i-- {
		step, after := int32(0), s
		m.Steps(&s, func(e E, next S, _ string) {
			if step == path[i] {
				told, after = append(told, e.String()), next
			}
			step++
		})
		s = after
	}
	return told
}
