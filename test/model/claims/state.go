package claims

// Node is one of the three nodes.
type Node uint8

// The nodes. Of the members that a node knows, the first in this order owns the key.
const (
	Nobody Node = iota
	A
	B
	C
)

func (n Node) String() string { return [...]string{"nobody", "A", "B", "C"}[n] }

func (n Node) bit() members { return 1 << n }

// members is a set of nodes.
type members uint8

func (m members) has(n Node) bool { return m&n.bit() != 0 }

// owner is the ring: whom these members hold to be the key's owner.
func (m members) owner() Node {
	for n := A; n <= C; n++ {
		if m.has(n) {
			return n
		}
	}
	return Nobody
}

const (
	maxCallers = 3
	maxClaims  = 7
)

// role is as what a caller is attached: not at all, as a waiter, or as the builder
// of a claim.
type role uint8

const waiter role = 1

func builder(claim uint8) role { return waiter + role(claim) }

// claim of a builder, else 0.
func (r role) claim() uint8 {
	if r <= waiter {
		return 0
	}
	return uint8(r - waiter)
}

// names is who is attached, by caller.
type names [maxCallers]role

// set is a set of claims or of callers.
type set uint8

func (s set) has(i uint8) bool { return s&(1<<i) != 0 }
func (s *set) add(i uint8)     { *s |= 1 << i }

// state is everything at one moment. It is comparable.
type state struct {
	joining Node    // is alone at first
	nodes   [4]node // by Node; the first is not used
	callers [maxCallers]caller
	claims  [maxClaims + 1]claim // by number, in the order of the grants
	made    uint8                // claims granted
	s3      object
	last    uint8 // the newest version
	known   bool  // the end of the write of what S3 holds was seen by its owner
	ghost   write // an upload that was given up, which S3 may still apply
	other   other // the plain write of another caller

	builds  uint8 // builds begun
	allowed uint8 // builds that the rules allow

	// What may still happen.
	pauses, returns, cuts, deaths, failing, lost, strays, slow uint8
	repeats, unknown, puts, deletes                            uint8
}

// object is what S3 holds. Version 0 is absence.
type object struct {
	version uint8
	good    bool  // a value that the waiters accept
	by      uint8 // the claim that the object names
}

type claim struct {
	holder uint8 // a caller
	base   uint8 // a version
}

type stage uint8

const (
	away     stage = iota // has not come yet
	waiting               // for a value or a claim
	building              // holds a token
	putting               // has a value, and puts it until it has an answer
	over                  // is done, or dead
)

type caller struct {
	stage stage
	at    Node  // where its stream is
	token uint8 // the claim that it builds for
	via   Node  // through whom it puts
	sent  bool  // its put has reached an owner, which will answer
}

// other is a plain write of another caller, under way.
type other struct {
	kind kind
	sent bool
}

type mode uint8

const (
	running mode = iota
	paused
	crashed
)

type leaving uint8

const (
	staying leaving = iota
	moving          // it has ended its streams
	gone            // it has left its own ring; the others may be told
)

type node struct {
	mode    mode
	leaving leaving
	view    members // whom it takes for alive
	absent  members // who has taken it for dead, without its knowing
	tell    bool    // it has to tell the owner of a write that came through it

	// What it says of its callers.
	attached names
	num      uint8    // of its latest question
	ask      question // its latest question
	stray    words    // an earlier question that is still on its way
	report   words    // its answer to an owner that asks who is attached
	late     answer   // an answer to an earlier question, on its way

	// What it knows as the owner.
	asking members // who has not said who is attached there
	looked bool    // it has looked at the key since all have
	said   [4]said // by node
	live   uint8   // the claim that is live
	ended  set     // claims that it knows to have ended by a write
	passed set     // claims that it has passed on
	seen   set     // waiters for whom it has looked at the key while a claim was live
	look   look
	write  write
}

type travel uint8

const (
	unasked  travel = iota
	asked           // on its way
	standing        // at the owner, who has not answered
	answered        // the answer is on its way
)

// question is the one that a node has under way: it names all that are attached.
type question struct {
	travel travel
	to     Node
	answer answer
}

// answer is a grant, that the value is there, or that a builder is attached elsewhere.
type answer struct {
	built     bool
	elsewhere bool
	claim     uint8 // to whose holder the grant is, or which the builder holds; else 0
}

// words are a message that names who is attached to a node.
type words struct {
	to    Node
	num   uint8
	names names
	moved bool // the node has ended their streams
}

// said is what a node last said to the owner.
type said struct {
	num   uint8
	open  bool // its question waits for an answer
	names names
	moved bool // the node has ended their streams
}

// look is a look at the key that is under way.
type look struct {
	on    bool
	found object
	dirty bool // a write of the key ended since it began
	stale bool // a claim ended since it began, or a node names its builder no more
	came  set  // the waiters who had come before it began
}

type kind uint8

const (
	none    kind = iota
	claimed      // the put of a value with a token
	plain
	deletion
)

type phase uint8

const (
	marked phase = iota + 1 // its upload is on its way to S3
	applied
	refused // by S3
)

// write is a write under way at an owner.
type write struct {
	phase phase
	kind  kind
	claim uint8
	from  uint8 // the caller who waits for the answer; maxCallers is another one
	via   Node
}

// start is the first state.
func start(c *Config) state {
	s := state{
		joining: c.Joining, allowed: 1, returns: uint8(c.Returns), cuts: uint8(c.Cuts), deaths: uint8(c.Deaths),
		failing: uint8(c.Failing), lost: uint8(c.Lost), strays: uint8(c.Strays), slow: uint8(c.Slow), repeats: uint8(c.Repeats),
		unknown: uint8(c.Unknown), puts: uint8(c.Puts), deletes: uint8(c.Deletes),
	}
	if c.Pausing != Nobody {
		s.pauses = 1
	}
	if c.Old {
		s.s3.version, s.last = 1, 1
	}
	all := A.bit() | B.bit() | C.bit()
	for n := A; n <= C; n++ {
		p := &s.nodes[n]
		p.view, p.looked = all&^c.Joining.bit(), true
		if n == c.Joining {
			p.view = n.bit()
		}
	}
	for i := c.Callers; i < maxCallers; i++ {
		s.callers[i].stage = over
	}
	return s
}

// tidy brings states that do not differ in what can follow to one form.
func (c *Config) tidy(s *state) {
	for n := A; n <= C; n++ {
		p := &s.nodes[n]
		if p.mode == crashed {
			*p = node{mode: crashed}
		}
		if s.nodes[p.report.to].mode == crashed {
			p.report = words{}
		}
		if !p.look.on {
			p.look = look{}
		}
	}
	for i := range s.callers {
		if p := &s.callers[i]; p.stage == over {
			*p = caller{stage: over}
		}
	}
	for n := A; n <= C; n++ {
		s.renumber(n)
	}
}

// renumber makes the numbers of a node's questions as small as their order allows.
func (s *state) renumber(n Node) {
	p := &s.nodes[n]
	nums := [6]*uint8{&p.num, &p.stray.num, &p.report.num, &s.nodes[A].said[n].num, &s.nodes[B].said[n].num, &s.nodes[C].said[n].num}
	var used, next uint16
	for _, num := range nums {
		used |= 1 << *num
	}
	var now [16]uint8
	for i := uint8(1); i < 16; i++ {
		if used&(1<<i) != 0 {
			next++
			now[i] = uint8(next)
		}
	}
	for _, num := range nums {
		*num = now[*num]
	}
}
