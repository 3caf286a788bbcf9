package builds

import "time"

// What nodes say to each other of a key. A node names all who are attached to it in a
// statement, and the owner answers with its view. Both travel as JSON.

// statement is what a node says of one key.
type statement struct {
	// Number grows with each statement of a node: one that comes late says nothing.
	Number uint64
	// Seen is the version of the owner's view that the node has taken in.
	Seen uint64
	// Now asks for an answer at once, and not only when the view has changed.
	Now bool `json:",omitempty"`
	// Attached are all who are, or nobody.
	Attached []attached
}

// attached is one who is attached to a node.
type attached struct {
	ID     string // the user, and the name that the client chose
	Nonce  uint64 // tells one stay under a name from the next
	User   string
	Writer bool // may write, and so build
	// Away says that only the place is kept: there is no connection now.
	Away   bool     `json:",omitempty"`
	MaxAge *float64 `json:",omitempty"` // seconds; an older value is not good enough
	Stream bool     `json:",omitempty"` // its connection stays open
	Retry  bool     `json:",omitempty"` // wants to hear of no failure from before
	Expect float64  `json:",omitempty"`
	// Claim is what a builder holds.
	Claim    *Claim   `json:",omitempty"`
	Spoke    uint64   `json:",omitempty"` // grows when its holder is heard of
	Progress *float64 `json:",omitempty"` // of the build, 0 to 1
	Message  string   `json:",omitempty"`
}

// view is what the owner says of one key to one node.
type view struct {
	Version uint64
	Number  uint64 // of the last statement of this node that it takes in
	Build   *Build `json:",omitempty"` // the present one, if there is one
	Waiting int
	// Told is what there is to say to each who is attached to the node; those of
	// whom nothing is decided yet are left out.
	Told map[string]told
}

// told is what one who is attached is told.
type told struct {
	Nonce uint64
	Verdict
	Ahead int `json:",omitempty"` // how many wait longer
	// Elsewhere tells a node that names a builder as away that another node has its connection.
	Elsewhere bool `json:",omitempty"`
}

// Build is one that is under way.
type Build struct {
	Builder  string
	Since    time.Time
	Elapsed  float64  // seconds
	Expect   float64  `json:",omitempty"` // seconds; 0 if unknown
	Progress *float64 `json:",omitempty"`
	Message  string   `json:",omitempty"`
}

// Kind is what has become of one who is attached.
type Kind string

// The kinds. All but Waits and Granted are final.
const (
	Waits    Kind = "wait"
	Granted  Kind = "granted"
	Built    Kind = "built"
	Failed   Kind = "failed"
	Unstored Kind = "unstored"
	Refused  Kind = "refused" // may not build, and nobody who may does
	Troubled Kind = "trouble" // the owner could not find out what is there
	Barred   Kind = "barred"  // the same, and asking again will not help
	Lost     Kind = "lost"    // of a builder: the claim
	Moved    Kind = "moved"   // the node leaves; nothing is given up
)

// Verdict says what has become of one who is attached, and how.
type Verdict struct {
	Kind    Kind
	Claim   *Claim `json:",omitempty"` // of Granted
	ETag    string `json:",omitempty"` // of Built: the version
	Builder string `json:",omitempty"` // of Failed and Unstored
	Error   string `json:",omitempty"` // the same, and of Troubled and Barred
	// Left is for how long a failure is remembered, in seconds.
	Left float64 `json:",omitempty"`
}

// final reports whether nothing can follow.
func (v Verdict) final() bool { return v.Kind != "" && v.Kind != Waits && v.Kind != Granted }
