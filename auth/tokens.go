package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Config of Open.
type Config struct {
	// Path is the tokens file.
	Path string
	// ValidOrg says what is wrong with the name of an org, if anything.
	ValidOrg func(org string) error
	// Interval is the time after which Run looks whether the file has changed;
	// 0 is one second.
	Interval time.Duration
}

// Tokens are the credentials that are good now.
type Tokens struct {
	cfg Config
	log zerolog.Logger
	// current is replaced whole and never written to.
	current atomic.Pointer[map[digest]credential]
	// seen is what the file was when it was last looked at. Open and then Run
	// alone use it.
	seen snapshot
}

// snapshot tells one state of the file from another.
type snapshot struct {
	digest digest
	// err is why the file could not be read.
	err string
}

// Open reads the tokens file. A file that cannot be read, or that holds
// anything but good entries, is an error which says what and where.
func Open(cfg Config, log zerolog.Logger) (*Tokens, error) {
	if cfg.Path == "" || cfg.ValidOrg == nil {
		return nil, errors.New("open tokens: the config has no Path or no ValidOrg")
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Second
	}
	t := &Tokens{cfg: cfg, log: log.With().Str("component", "auth").Logger()}
	if _, err := t.reload(); err != nil {
		return nil, fmt.Errorf("open tokens: %w", err)
	}
	return t, nil
}

// Run reads the file again whenever it has changed, until ctx is done, and
// then returns nil. A file that is missing or wrong changes nothing but the
// log: the tokens that were good stay so until there is a good file.
//
// The file's bytes are looked at, every second: it is small, and this sees what
// notifications and time stamps do not, such as the link that Kubernetes swaps
// in a mounted secret and a write that keeps size and time. Whoever writes the
// file should write another one and rename it, since a list that is cut short
// between two entries cannot be told from a whole one.
func (t *Tokens) Run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		changed, err := t.reload()
		switch {
		case !changed:
		case err != nil:
			t.log.Error().Err(err).Int("tokens", len(*t.current.Load())).Msg("tokens file is wrong, the tokens before it stay good")
		default:
			t.log.Info().Int("tokens", len(*t.current.Load())).Msg("tokens file read again")
		}
	}
}

// reload reads the file and, if it has changed and is good, makes its tokens
// the current ones. The error says what is wrong with a file that has changed.
func (t *Tokens) reload() (changed bool, err error) {
	data, err := os.ReadFile(t.cfg.Path)
	now := snapshot{digest: sha256.Sum256(data)}
	if err != nil {
		now = snapshot{err: err.Error()}
	}
	if now == t.seen {
		return false, nil
	}
	t.seen = now
	if err != nil {
		return true, fmt.Errorf("read tokens file: %w", err)
	}
	credentials, err := parse(data, t.cfg.ValidOrg)
	if err != nil {
		return true, fmt.Errorf("read tokens file %s: %w", t.cfg.Path, err)
	}
	t.current.Store(&credentials)
	return true, nil
}
