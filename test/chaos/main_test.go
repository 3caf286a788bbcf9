package chaos

import (
	"testing"

	"larder/test/testcluster"
)

func TestMain(m *testing.M) { testcluster.Main(m) }
