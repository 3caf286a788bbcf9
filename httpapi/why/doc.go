// Package why says how what is there differs from what somebody looked for: by the parts
// of their keys, and by what metadata says they were made with.
//
// It guarantees that what is not known is never said to differ. Package httpapi finds
// the keys to compare and calls Compare and Distance; there is no I/O here. All of it
// is pure functions, safe for concurrent use.
package why
