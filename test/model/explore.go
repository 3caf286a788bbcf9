package model

import "larder/test/model/explore"

// yield takes one possible step, see explore.Yield.
type yield = explore.Yield[state, event]

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

// Explore visits every state that can be reached.
func Explore(c Config) explore.Result {
	return explore.Model[state, event]{Start: start(c), Steps: c.steps, Broken: c.broken}.Run()
}
