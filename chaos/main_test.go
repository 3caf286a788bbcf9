package chaos

import (
	"testing"

	"larder/testcluster"
)

func TestMain(m *testing.M) { testcluster.Main(m) }
