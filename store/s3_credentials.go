package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

const (
	// lookEvery is how often the files are looked at for a change.
	lookEvery = time.Second
	// loadWithin bounds the finding of credentials anew.
	loadWithin = 10 * time.Second
	// credentialsPause is when to try again if there are none. The SDK has asked
	// where they come from several times by then.
	credentialsPause = 5 * time.Second
)

// renewing are the credentials of the SDK's usual chain. The SDK renews those
// that have an expiry, and reads those that stand in a file once: here the
// chain is gone through again when such a file changes, and when S3 refuses
// what it gave. What was found before stays good until there is something better:
// a file may be gone, or empty, while another takes its place.
type renewing struct {
	load  func(ctx context.Context) (aws.CredentialsProvider, error)
	files []string

	making sync.Mutex // held while the chain is made anew, before mu; requests go on with the old one
	mu     sync.Mutex // guards what follows
	chain  aws.CredentialsProvider
	seen   string // the files, as they were when the chain was made
	looked time.Time
	used   string // what names the credentials that were given last

	renewed time.Time // because S3 refused what was given
}

// credentialsError says that there are no credentials to sign a request with.
type credentialsError struct{ error }

// Unwrap returns the SDK's error.
func (e credentialsError) Unwrap() error { return e.error }

func newRenewing(first aws.CredentialsProvider, load func(ctx context.Context) (aws.CredentialsProvider, error)) *renewing {
	r := &renewing{load: load, chain: first, files: []string{
		fileOf("AWS_SHARED_CREDENTIALS_FILE", config.DefaultSharedCredentialsFilename()),
		fileOf("AWS_CONFIG_FILE", config.DefaultSharedConfigFilename()),
	}}
	r.seen = r.look()
	return r
}

func fileOf(variable, otherwise string) string {
	if name := os.Getenv(variable); name != "" {
		return name
	}
	return otherwise
}

// look returns a text that differs for any two states of the files.
func (r *renewing) look() string {
	state := ""
	for _, name := range r.files {
		info, err := os.Stat(name)
		if err != nil {
			state += "none;"
			continue
		}
		state += fmt.Sprintf("%d %d;", info.Size(), info.ModTime().UnixNano())
	}
	return state
}

// Retrieve implements aws.CredentialsProvider.
func (r *renewing) Retrieve(ctx context.Context) (aws.Credentials, error) {
	given, err := r.current().Retrieve(ctx)
	if err == nil && !given.HasKeys() {
		err = errors.New("where they come from gave some without a key ID or a secret")
	}
	if err != nil {
		return aws.Credentials{}, credentialsError{err}
	}
	r.mu.Lock()
	r.used = given.AccessKeyID + "\n" + given.SecretAccessKey + "\n" + given.SessionToken
	r.mu.Unlock()
	return given, nil
}

// current is the chain, made anew if a file has changed.
func (r *renewing) current() aws.CredentialsProvider {
	if state, due := r.changed(); due && r.making.TryLock() {
		r.remake(state)
		r.making.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.chain
}

// changed reports whether the files are not as they were when the chain was made. It
// looks once in a while.
func (r *renewing) changed() (state string, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < lookEvery {
		return "", false
	}
	r.looked = time.Now()
	state = r.look()
	return state, state != r.seen
}

// remake goes through the chain again, with r.making held. A file that is just being
// written may not be readable, or hold nothing: what was there before is kept then.
func (r *renewing) remake(state string) {
	ctx, cancel := context.WithTimeout(context.Background(), loadWithin)
	defer cancel()
	chain, err := r.load(ctx)
	if err != nil {
		return // and looked for again
	}
	given, err := chain.Retrieve(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = state
	if err == nil && given.HasKeys() {
		r.chain = chain
	}
}

// inUse names the credentials that requests are signed with. Nil has one kind
// for ever.
func (r *renewing) inUse() string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// renew finds credentials anew, since S3 has refused those that used names: at
// most once in a while if no file has changed. It reports whether there are others now.
func (r *renewing) renew(used string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	if r.used != used { // another request has found them
		r.mu.Unlock()
		return true
	}
	state := r.look()
	if state == r.seen && time.Since(r.renewed) < lookEvery {
		r.mu.Unlock()
		return false
	}
	r.renewed = time.Now()
	r.mu.Unlock()
	r.making.Lock()
	r.remake(state)
	r.making.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), loadWithin)
	defer cancel()
	_, err := r.Retrieve(ctx)
	return err == nil && r.inUse() != used
}
