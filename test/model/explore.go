package model

import "hash/maphash"

// yield takes one possible step: the event, the state after it, and what a
// reader saw in it that breaks a promise, if anything.
type yield func(event, state, string)

// steps yields everything that can happen next, always in the same order.
func (c *Config) steps(s *state, yield yield) {
	tidied := func(e event, next state, why string) {
		if c.tidy(&next); next != *s || why != "" {
			yield(e, next, why)
		}
	}
	for n := A; n <= C; n++ {
		if s.nodes[n].mode != crashed {
			c.read(s, n, tidied)
			for i := range c.Lookups {
				c.arrive(s, n, i, tidied)
			}
		}
		c.writer(s, n, tidied)
		c.fate(s, n, tidied)
		if s.drifts > 0 {
			c.tick(s, n, tidied)
		}
	}
	c.tick(s, Nobody, tidied)
}

// Result of an exploration.
type Result struct {
	States int
	// Story is the shortest way to a broken promise, one step a line, the last
	// what the reader saw; nil if no promise was broken.
	Story []string
}

// visit is how a state was reached first: by a step, counted in the order of
// steps, from another.
type visit struct {
	from int32
	step int32
}

// Explore visits every state that can be reached, breadth first. States are
// told apart by 64 bits of hash: that two of ten million share them has a
// chance of one in three hundred thousand.
func Explore(c Config) Result {
	seed := maphash.MakeSeed()
	first := start(c)
	seen := map[uint64]struct{}{maphash.Comparable(seed, first): {}}
	visits := []visit{{from: -1}}
	queue := []state{first} // of the visits from base on
	for base := 0; len(queue) > 0; base++ {
		s := queue[0]
		queue = queue[1:]
		step := int32(0)
		broken := ""
		c.steps(&s, func(_ event, next state, why string) {
			if broken != "" {
				return
			}
			if h := maphash.Comparable(seed, next); why == "" {
				if _, ok := seen[h]; ok {
					step++
					return
				}
				seen[h] = struct{}{}
				why = c.broken(&next)
			}
			visits = append(visits, visit{from: int32(base), step: step})
			queue = append(queue, next)
			broken = why
			step++
		})
		if broken != "" {
			return Result{States: len(visits), Story: append(c.story(visits), broken)}
		}
	}
	return Result{States: len(visits)}
}

// story tells the steps to the last visit.
func (c *Config) story(visits []visit) []string {
	var path []int32
	for i := int32(len(visits) - 1); visits[i].from >= 0; i = visits[i].from {
		path = append(path, visits[i].step)
	}
	var told []string
	s := start(*c)
	for i := len(path) - 1; i >= 0; i-- {
		step, after := int32(0), s
		c.steps(&s, func(e event, next state, _ string) {
			if step == path[i] {
				told, after = append(told, e.String()), next
			}
			step++
		})
		s = after
	}
	return told
}
