package storetest

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/rs/zerolog"

	"larder/store"
	"larder/store/embedded"
)

// Main runs the tests of a package that share one embedded server, and gives its
// store, which has been probed, to use before. The outcome is for os.Exit.
func Main(m *testing.M, use func(*store.S3)) int {
	code, err := runBefore(m, use)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the embedded server:", err)
		return 1
	}
	return code
}

func runBefore(m *testing.M, use func(*store.S3)) (code int, err error) {
	dir, err := os.MkdirTemp("", "larder")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := embedded.New(embedded.Config{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	defer func() { stop(); <-ended }()
	if err := server.Ready(ctx); err != nil {
		return 0, err
	}
	s, err := store.NewS3(ctx, server.S3Config())
	if err != nil {
		return 0, err
	}
	if _, err := s.Probe(ctx); err != nil {
		return 0, err
	}
	use(s)
	return m.Run(), nil
}
