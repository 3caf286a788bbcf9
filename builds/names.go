package builds

// names are the last of those that were added.
type names struct {
	held  map[string]struct{}
	order []string
	next  int
}

func newNames(most int) names {
	return names{held: map[string]struct{}{}, order: make([]string, most)}
}

func (n *names) has(name string) bool { _, ok := n.held[name]; return ok }

func (n *names) add(name string) {
	if n.has(name) {
		return
	}
	delete(n.held, n.order[n.next])
	n.order[n.next] = name
	n.held[name] = struct{}{}
	n.next = (n.next + 1) % len(n.order)
}
