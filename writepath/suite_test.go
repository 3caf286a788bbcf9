//go:build s3suite

package writepath

import (
	"testing"

	"larder/store/storetest"
)

// TestServer wants the promises kept on the server that the environment names.
func TestServer(t *testing.T) {
	wantPromises(t, storetest.FromEnvironment(t))
}
