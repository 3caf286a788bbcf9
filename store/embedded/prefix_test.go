package embedded_test

import (
	"context"
	"testing"

	"github.com/rs/zerolog"

	"larder/store"
	"larder/store/embedded"
)

// What is written below any prefix that a node takes is listed there.
func TestPrefixes(t *testing.T) {
	server, err := embedded.New(embedded.Config{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if err := server.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"team", "/team/x/", "a b/c+d=e", "a-b_c.d/!*'()@:,&$;"} {
		cfg := server.S3Config()
		cfg.Prefix = prefix
		s, err := store.NewS3(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, "v1/a", store.Write{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if entries, _, err := s.List(ctx, "v1/", "", 10); err != nil || len(entries) != 1 || entries[0].Name != "v1/a" {
			t.Errorf("below %q: %+v, %v", prefix, entries, err)
		}
		if err := s.Ping(ctx); err != nil {
			t.Errorf("ping %q: %v", prefix, err)
		}
	}
}
