package httpapi

import (
	"bytes"

	"larder/keys"
)

// plain is a request that the front may answer, in views of the bytes that it came
// in. Its grammar is a part of what net/http takes, and both find the same in it:
//
//	GET /v1/objects/NAME HTTP/1.1 CRLF
//	*( FIELD ":" SP VALUE CRLF )
//	CRLF
//
// FIELD is one that fieldOf knows, in any case of letters, each at most once, and Host
// is there. VALUE is visible ASCII, with spaces between. NAME is escaped, and of
// characters that are taken as they are.
type plain struct {
	service       string
	name          []byte // as it came
	host          []byte
	authorization []byte // empty if there is none
	length        int    // of the whole request
}

// maxPlain bounds a name as it came: 512 bytes, all of them escaped.
const maxPlain = 3 * 512

// field is a header field that a plain request may have. All but the first three mean
// nothing to this API where an object is asked for.
type field uint

const (
	hostField field = 1 << iota
	authorizationField
	connectionField
	viaField
	acceptField
	forwardedField
	realIPField
	userAgentField
	tracestateField
	traceparentField
	requestIDField
	acceptEncodingField
	acceptLanguageField
	forwardedForField
	forwardedHostField
	forwardedPortField
	forwardedProtoField
)

// fieldOf is the field of a name; 0 if a plain request has none of this name.
func fieldOf(name []byte) field {
	is := func(text string, f field) field {
		if equalFold(name, text) {
			return f
		}
		return 0
	}
	switch len(name) {
	case 3:
		return is("via", viaField)
	case 4:
		return is("host", hostField)
	case 6:
		return is("accept", acceptField)
	case 9:
		return is("x-real-ip", realIPField) | is("forwarded", forwardedField)
	case 10:
		return is("user-agent", userAgentField) | is("connection", connectionField) | is("tracestate", tracestateField)
	case 11:
		return is("traceparent", traceparentField)
	case 12:
		return is("x-request-id", requestIDField)
	case 13:
		return is("authorization", authorizationField)
	case 15:
		return is("accept-encoding", acceptEncodingField) | is("accept-language", acceptLanguageField) | is("x-forwarded-for", forwardedForField)
	case 16:
		return is("x-forwarded-host", forwardedHostField) | is("x-forwarded-port", forwardedPortField)
	case 17:
		return is("x-forwarded-proto", forwardedProtoField)
	}
	return 0
}

// parsePlain takes apart the request that some bytes begin with. It is false for all
// that is no whole plain request.
func parsePlain(b []byte) (p plain, ok bool) {
	rest, ok := p.takeLine(b)
	var seen field
	for ok {
		if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
			p.length = len(b) - len(rest) + 2
			return p, seen&hostField != 0
		}
		var is field
		if rest, is, ok = p.takeField(rest); ok {
			ok = seen&is == 0
			seen |= is
		}
	}
	return plain{}, false
}

// takeLine takes the request's first line, and returns what follows.
func (p *plain) takeLine(b []byte) (rest []byte, ok bool) {
	const objects, strategies = "GET /v1/" + keys.Objects + "/", "GET /v1/" + keys.Strategies + "/"
	const end = " HTTP/1.1\r\n"
	switch {
	case len(b) > len(objects) && string(b[:len(objects)]) == objects:
		p.service, b = keys.Objects, b[len(objects):]
	case len(b) > len(strategies) && string(b[:len(strategies)]) == strategies:
		p.service, b = keys.Strategies, b[len(strategies):]
	default:
		return nil, false
	}
	n := 0
	for n < len(b) && n <= maxPlain && isInPath(b[n]) {
		n++
	}
	if n == 0 || n > maxPlain || len(b) < n+len(end) || string(b[n:n+len(end)]) != end {
		return nil, false
	}
	p.name = b[:n]
	return b[n+len(end):], true
}

// takeField takes a header field, and returns what follows its line.
func (p *plain) takeField(b []byte) (rest []byte, is field, ok bool) {
	colon := bytes.IndexByte(b[:min(len(b), 32)], ':')
	if colon <= 0 {
		return nil, 0, false
	}
	name, value := b[:colon], b[colon+1:]
	n := 0
	for n < len(value) && ' ' <= value[n] && value[n] <= '~' {
		n++
	}
	if n < 2 || len(value) < n+2 || value[n] != '\r' || value[n+1] != '\n' {
		return nil, 0, false
	}
	rest, value = value[n+2:], value[:n]
	if value[0] != ' ' || value[1] == ' ' || value[n-1] == ' ' {
		return nil, 0, false
	}
	value = value[1:]
	is = fieldOf(name)
	return rest, is, is != 0 && p.keep(is, value)
}

// keep notes the value of a field, and reports whether a plain request may have it.
func (p *plain) keep(is field, value []byte) bool {
	switch is {
	case hostField:
		p.host = value
		return isHost(value)
	case authorizationField:
		p.authorization = value
	case connectionField:
		return equalFold(value, "keep-alive")
	default:
	}
	return true
}

// equalFold reports whether b is this text of small letters, in any case of them.
func equalFold(b []byte, text string) bool {
	if len(b) != len(text) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != text[i] {
			return false
		}
	}
	return true
}

// What may stand in the name of a plain request, and in its host: letters, digits, and of
// the rest what servers and URLs agree on. As sets of bits: those below 64, and those
// from 64 on.
const (
	lettersAndDigitsLow  uint64 = 0x3ff << '0'
	lettersAndDigitsHigh uint64 = 0x3ffffff<<('A'-64) | 0x3ffffff<<('a'-64)

	pathLow = lettersAndDigitsLow | 1<<'!' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' |
		1<<',' | 1<<'-' | 1<<'.' | 1<<'/' | 1<<':' | 1<<';' | 1<<'='
	pathHigh = lettersAndDigitsHigh | 1<<('@'-64) | 1<<('_'-64) | 1<<('|'-64) | 1<<('~'-64)

	hostLow  = lettersAndDigitsLow | 1<<'-' | 1<<'.' | 1<<':'
	hostHigh = lettersAndDigitsHigh | 1<<('_'-64) | 1<<('['-64) | 1<<(']'-64)
)

func isInPath(c byte) bool {
	if c < 64 {
		return pathLow>>c&1 != 0
	}
	return c < 128 && pathHigh>>(c-64)&1 != 0
}

func isHost(b []byte) bool {
	for _, c := range b {
		if c < 64 && hostLow>>c&1 == 0 || c >= 64 && (c >= 128 || hostHigh>>(c-64)&1 == 0) {
			return false
		}
	}
	return true
}

// unescape appends the name that stands in a path. It is false if an escape is none.
func unescape(dst, escaped []byte) (name []byte, ok bool) {
	for len(escaped) > 0 {
		end := bytes.IndexByte(escaped, '%')
		if end < 0 {
			return append(dst, escaped...), true
		}
		dst = append(dst, escaped[:end]...)
		if len(escaped) < end+3 {
			return nil, false
		}
		high, low := unhex(escaped[end+1]), unhex(escaped[end+2])
		if high > 15 || low > 15 {
			return nil, false
		}
		dst = append(dst, high<<4|low)
		escaped = escaped[end+3:]
	}
	return dst, true
}

// unhex is the value of a hexadecimal digit; 16 of what is none.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 16
}
