//go:build s3suite

package store_test

import (
	"testing"

	"larder/store"
	"larder/store/storetest"
)

// TestServer runs the suite on the server that the environment names. What fails
// is what that server does otherwise than S3; TestServer of package writepath
// wants the promises kept all the same.
func TestServer(t *testing.T) {
	s := storetest.FromEnvironment(t)
	storetest.Run(t, func(*testing.T) store.Store { return s })
	storetest.RunUploads(t, func(*testing.T) storetest.Uploader { return s })
}
