package main

import (
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

const (
	// headerLimit bounds the wait for a request's header, idleLimit the wait
	// for the next request on a connection.
	headerLimit = 10 * time.Second
	idleLimit   = 2 * time.Minute
	// maxHeader bounds a request's header, in bytes: the key, the conditions and
	// the metadata of a write travel on to the key's owner.
	maxHeader = 64 << 10
)

// server is an HTTP server with its listener.
type server struct {
	http.Server
	listener net.Listener
}

func listen(flag, addr string, log zerolog.Logger) (*server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; choose another with %s", flag, addr, err, flag)
	}
	return &server{
		Server: http.Server{
			Addr: l.Addr().String(), ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader,
			ErrorLog: stdlog.New(newComplaints(log, flag), "", 0),
		},
		listener: l,
	}, nil
}

func (s *server) serve() error {
	if err := s.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", s.Addr, err)
	}
	return nil
}

// complaints are what net/http has to say of a port, as lines of the log. Some
// come with every connection, so only the first of each second are there.
type complaints struct{ log zerolog.Logger }

func newComplaints(log zerolog.Logger, flag string) complaints {
	log = log.With().Str("component", "http").Str("port", flag).Logger()
	return complaints{log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Second})}
}

func (c complaints) Write(line []byte) (int, error) {
	c.log.Warn().Str("text", strings.TrimSpace(string(line))).Msg("http server")
	return len(line), nil
}

const (
	// connectionMemory is what an idle connection may take of the memory tier's
	// size, fewestConnections how many there may be in any case.
	connectionMemory  = 64 << 10
	fewestConnections = 1000
	// mostOperators bounds the admin port's connections.
	mostOperators = 256
)

// connectionLimits are the most connections of the public and of the admin port.
// Half of the process's file descriptors stay for the peers, S3 and files.
func connectionLimits(memory int64) (public, private int, err error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, 0, fmt.Errorf("the limit of file descriptors is not known: %w", err)
	}
	public, private = limitsOf(files.Cur, memory)
	return public, private, nil
}

func limitsOf(files uint64, memory int64) (public, private int) {
	byFiles := int(min(files, 1<<20))
	byMemory := int(max(memory/connectionMemory, fewestConnections))
	return max(min(byFiles/2, byMemory), 2), max(min(byFiles/8, mostOperators), 2)
}
