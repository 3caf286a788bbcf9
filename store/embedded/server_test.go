package embedded_test

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/store"
	"larder/store/embedded"
	"larder/store/storetest"
)

// start serves a folder until the test ends.
func start(t testing.TB, cfg embedded.Config) *store.S3 {
	t.Helper()
	cfg.Log = zerolog.New(zerolog.NewTestWriter(t))
	server, err := embedded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	wait, cancelWait := context.WithTimeout(ctx, 10*time.Second)
	defer cancelWait()
	if err := server.Ready(wait); err != nil {
		t.Fatal(err)
	}
	s, err := store.NewS3(ctx, server.S3Config())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for name, addr := range map[string]string{"socket": "", "port": "127.0.0.1:0"} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				return start(t, embedded.Config{Dir: t.TempDir(), Addr: addr})
			})
		})
	}
}
