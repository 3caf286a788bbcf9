package peer

import (
	"net"
	"testing"
	"time"
)

// FuzzAnswers holds that nothing that a member can answer makes its asker panic,
// or take more than it has room for.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0, 200, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 't', 'b'})
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // at work, then done
	f.Add([]byte{0, 200, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 200, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, room := range []int64{0, 1 << 10, -1} {
			ours, theirs := net.Pipe()
			go func() {
				_, _ = theirs.Write(said)
				_ = theirs.Close()
			}()
			a, err := newAskConn(ours).receive(Question{Room: room}, time.Now())
			if err == nil && (len(a.Text) > maxText || len(a.Text)+len(a.Body)+answerHead > len(said) || int64(len(a.Body)) > max(room, 0)) {
				t.Errorf("took %d and %d bytes", len(a.Text), len(a.Body))
			}
			_ = ours.Close()
		}
	})
}
