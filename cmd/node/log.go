package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// newLogger writes lines for people to a terminal, JSON to anything else.
func newLogger(level string) zerolog.Logger {
	l, err := zerolog.ParseLevel(level)
	if err != nil {
		l = zerolog.InfoLevel // the flag admits only levels
	}
	var log zerolog.Logger
	if isatty.IsTerminal(os.Stderr.Fd()) {
		log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.TimeOnly})
	} else {
		log = zerolog.New(oneLine{os.Stderr})
	}
	return log.Level(l).With().Timestamp().Logger()
}

// oneLine writes lines of JSON. Texts in them are of callers' choosing: keys, users, paths.
// zerolog escapes what JSON demands; there are more characters at which some programs begin
// a new line, or a terminal does more than to show them. Here they are escaped as well.
type oneLine struct{ to io.Writer }

// Write writes one line.
func (o oneLine) Write(line []byte) (int, error) {
	text := line
	if bytes.ContainsFunc(line, isSpecial) {
		text = make([]byte, 0, 2*len(line))
		for _, r := range string(line) {
			if !isSpecial(r) {
				text = utf8.AppendRune(text, r)
				continue
			}
			for _, unit := range utf16.Encode([]rune{r}) {
				text = fmt.Appendf(text, `\u%04x`, unit)
			}
		}
	}
	if _, err := o.to.Write(text); err != nil {
		return 0, err
	}
	return len(line), nil
}

func isSpecial(r rune) bool { return r >= 0x7f && !strconv.IsPrint(r) }
