package auth

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"larder/reread"
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
	cfg  Config
	log  zerolog.Logger
	file *reread.File
	// current is replaced whole and never written to.
	current atomic.Pointer[map[digest]credential]
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
	var err error
	if t.file, err = reread.Open(cfg.Path, t.take); err != nil {
		return nil, fmt.Errorf("open tokens: %w", err)
	}
	return t, nil
}

// Run reads the file again whenever it has changed, until ctx is done, and
// then returns nil. A file that is missing or wrong changes nothing but the
// log: the tokens that were good stay so until there is a good file.
//
// Whoever writes the file should write another one and rename it, since a list
// that is cut short between two entries cannot be told from a whole one.
func (t *Tokens) Run(ctx context.Context) error {
	return t.file.Run(ctx, t.cfg.Interval, func(err error) {
		if err != nil {
			t.log.Error().Err(err).Int("tokens", len(*t.current.Load())).Msg("tokens file is wrong, the tokens before it stay good")
			return
		}
		t.log.Info().Int("tokens", len(*t.current.Load())).Msg("tokens file read again")
	})
}

// take makes the tokens of a file the current ones, if it is good.
func (t *Tokens) take(data []byte) error {
	credentials, err := parse(data, t.cfg.ValidOrg)
	if err != nil {
		return err
	}
	t.current.Store(&credentials)
	return nil
}
