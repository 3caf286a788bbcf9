package store

// Traits is how far a server was seen to do as S3 does. The zero value is that
// of a server that has not been probed: nothing is relied on.
type Traits struct {
	// Sure is true once every request of a probe was answered: what is false below was
	// then seen not to be so.
	Sure bool
	// PutIfAbsent is true if a put with If-None-Match: * is refused where an
	// object is, and PutIfMatch if one with If-Match is done for the version
	// that is there and refused for any other.
	PutIfAbsent, PutIfMatch bool
	// CompleteIfAbsent and CompleteIfMatch are the same of completing an upload.
	CompleteIfAbsent, CompleteIfMatch bool
	// CompleteVersion is true if completing an upload answers the ETag that
	// the object has from then on, and an error if the upload is gone.
	CompleteVersion bool
	// TypeKept is true if an object of the type application/octet-stream keeps it,
	// whatever its name ends in.
	TypeKept bool
	// AbortKeeps is true if aborting an upload does no harm to an object of
	// the same name.
	AbortKeeps bool
	// UploadsByPrefix is true if a prefix of their name finds uploads.
	UploadsByPrefix bool
}

// Difference is one thing that a server does otherwise than S3.
type Difference struct {
	// Lacks is what it does not do.
	Lacks string
	// Instead is how a node makes up for it, or the promise that it costs.
	Instead string
	// Permission is the action that the credentials lack, if that is all: what is not
	// allowed to be tried is taken for what the server does not do.
	Permission string
	// Unanswered is true if it is not known, since the server gave no answer.
	Unanswered bool
}

// Again reports whether another probe may find otherwise.
func (d Difference) Again() bool { return d.Permission != "" || d.Unanswered }

// Traits returns what Probe has found, or the zero value before that.
func (s *S3) Traits() Traits {
	if found := s.traits.Load(); found != nil {
		return *found
	}
	return Traits{}
}

// Told returns those of the conditions of a put that the server is told: those that it
// holds, or may hold. It may do a put long after it was given up, over what came since.
func (t Traits) Told(c Conditions) Conditions {
	return c.where(t.PutIfAbsent || !t.Sure, t.PutIfMatch || !t.Sure)
}

// ToldByComplete is Told for the completion of an upload.
func (t Traits) ToldByComplete(c Conditions) Conditions {
	return c.where(t.CompleteIfAbsent || !t.Sure, t.CompleteIfMatch || !t.Sure)
}

func (c Conditions) where(ifAbsent, ifMatch bool) Conditions {
	c.IfAbsent = c.IfAbsent && ifAbsent
	if !ifMatch {
		c.IfMatch = ""
	}
	return c
}
