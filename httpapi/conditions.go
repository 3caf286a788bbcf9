package httpapi

import (
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"larder/store"
)

// verdict is how a GET or HEAD of an object that is there is answered: with 200,
// 206, 304, 412 or 416.
type verdict struct {
	status     int
	first, end int64 // the bytes to send: end is the one after the last
}

// judge decides by the request's conditions and its Range, in the order of
// RFC 9110, section 13.2.2. HEAD has no ranges (14.2). Dates are compared only
// where they are strong (8.8.2.2): modified is what lastModified says of the
// object, which is zero while its date is not.
func judge(method string, h http.Header, o store.Head, modified time.Time) verdict {
	whole := verdict{status: http.StatusOK, end: o.Size}
	switch {
	case present(h, "If-Match"):
		if !matches(h, "If-Match", o.Version, true) {
			return verdict{status: http.StatusPreconditionFailed}
		}
	case isBefore(h.Get("If-Unmodified-Since"), o.Modified):
		return verdict{status: http.StatusPreconditionFailed}
	}
	switch {
	case present(h, "If-None-Match"):
		if matches(h, "If-None-Match", o.Version, false) {
			return verdict{status: http.StatusNotModified}
		}
	case isDate(h.Get("If-Modified-Since"), modified):
		return verdict{status: http.StatusNotModified}
	}
	if method == http.MethodHead || !ifRange(h.Get("If-Range"), o.Version, modified) {
		return whole
	}
	first, end, asked := byteRange(h.Get("Range"), o.Size)
	switch {
	case !asked, o.Size == 0: // some clients ask for a range of everything
		return whole
	case first >= end:
		return verdict{status: http.StatusRequestedRangeNotSatisfiable}
	}
	return verdict{status: http.StatusPartialContent, first: first, end: end}
}

// conditional reports whether there is anything for judge to decide.
func conditional(h http.Header) bool {
	return present(h, "Range") || present(h, "If-Match") || present(h, "If-None-Match") ||
		present(h, "If-Modified-Since") || present(h, "If-Unmodified-Since")
}

func present(h http.Header, name string) bool { return joined(h, name) != "" }

// joined is what the fields of one name say together (RFC 9110, section 5.3); those that
// say nothing are left out.
func joined(h http.Header, name string) string {
	values := slices.DeleteFunc(slices.Clone(h.Values(name)), func(v string) bool { return strings.TrimSpace(v) == "" })
	return strings.Join(values, ", ")
}

// dateMargin is the age of an object from which on its date tells it from others.
const dateMargin = 2 * time.Second

// lastModified is the object's date for callers, to the second: the end of the
// second in which it was written. It is zero if the store has told none, and while
// another version may still get the same one. So a caller who has this date has the last version of its second. One who
// got an earlier version got no date with it; if he takes the time of his own clock instead,
// that is earlier than this date.
func lastModified(o store.Head, now time.Time) time.Time {
	if o.Modified.IsZero() || now.Sub(o.Modified) < dateMargin {
		return time.Time{}
	}
	return endOfSecond(o.Modified)
}

func endOfSecond(t time.Time) time.Time { return t.Truncate(time.Second).Add(time.Second) }

// isDate reports whether the text is just this date. A later one does not do for
// If-Modified-Since (13.1.3), which lets the whole be sent always: a version may
// be dated before one that it replaced, since its writer waited.
func isDate(text string, date time.Time) bool {
	t, err := http.ParseTime(text)
	return err == nil && !date.IsZero() && t.Equal(date)
}

// isBefore reports whether the text is a date before the end of the second in
// which something was written; what is no date is ignored (13.1.4).
func isBefore(text string, written time.Time) bool {
	t, err := http.ParseTime(text)
	return err == nil && t.Before(endOfSecond(written))
}

// ifRange reports whether If-Range (13.1.5) lets a range be answered.
func ifRange(text, version string, modified time.Time) bool {
	if text == "" || isDate(text, modified) {
		return true
	}
	return !strings.HasPrefix(text, "W/") && unquote(text) == version
}

// matches reports whether an entity tag of a header is that of a version. Strong
// comparison (8.8.3.2) does not take weak ones. No tag is that of an object
// without an ETag, which any object is for *.
func matches(h http.Header, name, version string, strong bool) bool {
	for tag := range entityTags(h.Values(name)) {
		if strong && strings.HasPrefix(tag, "W/") {
			continue
		}
		if tag == "*" || version != "" && unquote(tag) == version {
			return true
		}
	}
	return false
}

// entityTags are the members of a list of entity tags (8.8.3), as they are
// written. A comma in quotes is part of a tag.
func entityTags(values []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, rest := range values {
			for rest != "" {
				end, quoted := 0, false
				for ; end < len(rest) && (quoted || rest[end] != ','); end++ {
					quoted = quoted != (rest[end] == '"')
				}
				tag := strings.TrimSpace(rest[:end])
				rest = rest[min(end+1, len(rest)):]
				if tag != "" && !yield(tag) {
					return
				}
			}
		}
	}
}

// unquote is the version in an entity tag, weak or strong; tags without
// quotes, which some clients send, are taken as they are.
func unquote(tag string) string {
	return strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
}

// byteRange is what a Range header asks for (14.1.2): the bytes from first to
// before end, which are none if first is not less. Other units than bytes are
// ignored, as are several ranges (14.2).
func byteRange(header string, size int64) (first, end int64, asked bool) {
	unit, spec, _ := strings.Cut(header, "=")
	spec = strings.TrimSpace(spec)
	if !strings.EqualFold(strings.TrimSpace(unit), "bytes") || spec == "" || strings.Contains(spec, ",") {
		return 0, 0, false
	}
	from, to, _ := strings.Cut(spec, "-")
	first, hasFirst := position(from, size)
	last, hasLast := position(to, size)
	switch {
	case from == "" && hasLast: // the last bytes
		return size - last, size, true
	case hasFirst && to == "" && strings.HasSuffix(spec, "-"):
		return first, size, true
	case hasFirst && hasLast:
		return first, min(last+1, size), true
	}
	return 0, 0, true // what is no range has no bytes
}

// position is the number in a range, and no more than size.
func position(digits string, size int64) (n int64, ok bool) {
	digits = strings.TrimSpace(digits)
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return min(n, size), true
	}
	return size, true // more than there can be
}
