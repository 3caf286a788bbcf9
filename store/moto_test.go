package store_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"larder/store"
	"larder/store/storetest"
)

// TestMoto runs the suite on an implementation of S3 that is independent of
// the embedded one.
func TestMoto(t *testing.T) {
	endpoint := startMoto(t)
	for _, prefix := range []string{"", "/some prefix/x+y/"} {
		t.Run("prefix="+prefix, func(t *testing.T) {
			open := func(t *testing.T) store.Store {
				return newStore(t, store.S3Config{Endpoint: endpoint, Prefix: prefix})
			}
			storetest.Run(t, open,
				// moto 5.2 keeps the checksum that it is told.
				storetest.NoDigestCheck,
				// It looks and writes in two steps, in parallel threads.
				storetest.NoAtomicConditions,
				// It closes the file of an object that is overwritten while
				// another request reads it, and shows an object before it
				// has its metadata.
				storetest.TornByRaces,
				// It stands on werkzeug, which does that against spoofing.
				storetest.DropsUnderscores)
			storetest.RunUploads(t,
				func(t *testing.T) storetest.Uploader {
					return newStore(t, store.S3Config{Endpoint: endpoint, Prefix: prefix})
				},
				storetest.TornByRaces,
				// Every upload began in 2010.
				storetest.UndatedUploads,
				// It looks at If-None-Match alone.
				storetest.NoUploadConditions,
				// It fails with a KeyError.
				storetest.LosesUploads)
		})
	}
}

func newStore(t testing.TB, cfg store.S3Config) *store.S3 {
	t.Helper()
	cfg.Bucket, cfg.PathStyle = "larder", true
	cfg.AccessKey, cfg.SecretKey = "access", "secret"
	s, err := store.NewS3(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startMoto runs moto's server with an empty bucket until the test ends.
func startMoto(t *testing.T) (endpoint string) {
	t.Helper()
	program := os.Getenv("LARDER_MOTO_SERVER")
	if program == "" {
		program = "moto_server"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: pip install 'moto[server]', and put moto_server on PATH or its path into LARDER_MOTO_SERVER", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().(*net.TCPAddr)
	listener.Close()
	command := exec.Command(path, "-H", "127.0.0.1", "-p", fmt.Sprint(addr.Port))
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	endpoint = "http://" + addr.String()
	makeBucket(t, endpoint+"/larder")
	return endpoint
}

// makeBucket tries until the server has started.
func makeBucket(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Fatalf("make the bucket: %s", response.Status)
			}
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("moto_server does not answer: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
